"""AveragePool as a depthwise convolution."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import sizes
from octavo.backends.onnxruntime.qdq import Writer
from octavo.errors import ModelError
from octavo.measure import Quantization
from octavo.plan import S8


def unequal_windows(node: ir.Node) -> str | None:
    """Return why the windows of an AveragePool are no convolution; None where they are one."""
    attributes = node.attributes
    shape = sizes(node.inputs[0])
    if shape is None or len(shape) < 3 or shape[1] is None:
        return "its number of channels is not known"
    if attributes.get_int("ceil_mode", 0):
        return "ceil_mode may leave windows that hold fewer values"
    same = attributes.get_string("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
    padded = same or any(attributes.get_ints("pads", []))
    if padded and not attributes.get_int("count_include_pad", 0):
        return "windows at the border hold fewer values"
    return None


def write_average(writer: Writer, node: ir.Node, output: Quantization) -> None:
    """Write an AveragePool as a convolution with one weight of 1 for every value of a window.

    Between two convolutions, a 3x3 window on 192 channels of 35x35 adds 1.2 ms as
    QLinearAveragePool, 0.5 in float with its borders, 0.02 so.
    """
    channels = (sizes(node.inputs[0]) or (None, None))[1]
    if channels is None:
        raise ModelError(f"{node.name!r} was to become a convolution; its channels are not known")
    window = list(node.attributes.get_ints("kernel_shape"))
    ones = np.ones((channels, 1, *window), np.int8)
    scale = np.array(1 / math.prod(window), np.float32)
    weight = Quantization(scale, np.zeros((), np.int32), S8)
    stored = writer.stored(f"{node.name}.ones.s8", ones, weight)
    kept = ("kernel_shape", "strides", "pads", "dilations", "auto_pad")
    for name in [name for name in node.attributes if name not in kept]:
        node.attributes.pop(name)
    node.attributes["group"] = ir.AttrInt64("group", channels)
    node.op_type = "Conv"
    node.resize_inputs(2)
    node.replace_input_with(1, stored)
