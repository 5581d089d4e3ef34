"""ConvTranspose as a convolution that makes all positions of a stride side by side.

With stride s, position s h + i of the output reads the inputs h, h - 1, ... by the weights i,
i + s, ...: s outputs of one ordinary convolution, whose channels are then moved into space (Shi et
al., Is the deconvolution layer the same as a convolutional layer?, 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array, FloatArray
from octavo.backends.onnxruntime.edits import constant, constant_shape, rewire, sizes
from octavo.backends.onnxruntime.forms.convolution import merge_groups
from octavo.backends.onnxruntime.forms.integers import quantizer_behind
from octavo.backends.onnxruntime.forms.shuffle import can_spread, spread
from octavo.backends.onnxruntime.qdq import Writer
from octavo.errors import ModelError
from octavo.measure import Quantization

GROUPED = 64  # channels; groups become one dense convolution


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a ConvTranspose.

    Attributes:
        kernel: its size.
        stride: its stride.
        begin: outputs cut off at the begin.
        end: outputs cut off at the end of (positions + taps - 1) * stride.
    """

    kernel: int
    stride: int
    begin: int
    end: int

    @property
    def taps(self) -> int:
        """How many inputs an output reads."""
        return -(-self.kernel // self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """Padding of the convolution at both ends: what is not cut off in whole strides."""
        return self._pad(self.begin), self._pad(self.end)

    @property
    def left(self) -> tuple[int, int]:
        """What is still to be cut off of the spread output at both ends."""
        spared = [self.stride * (self.taps - 1 - pad) for pad in self.pads]
        return self.begin - spared[0], self.end - spared[1]

    def _pad(self, cut: int) -> int:
        return self.taps - 1 - min(cut // self.stride, self.taps - 1)


def axes_of(node: ir.Node) -> list[Axis]:
    """Return the spatial axes of a ConvTranspose with a constant weight."""
    shape = constant_shape(node.inputs[1]) or ()
    rank = len(shape) - 2
    attributes = node.attributes
    strides = attributes.get_ints("strides", []) or [1] * rank
    pads = attributes.get_ints("pads", []) or [0] * (2 * rank)
    added = attributes.get_ints("output_padding", []) or [0] * rank
    found = []
    for i in range(rank):
        kernel, stride = shape[2 + i], strides[i]
        beyond = -(-kernel // stride) * stride - kernel
        found.append(Axis(kernel, stride, pads[i], beyond + pads[rank + i] - added[i]))
    return found


def no_convolution(node: ir.Node) -> str | None:
    """Return why a ConvTranspose is not written as a convolution; None where it is."""
    attributes, shape = node.attributes, sizes(node.inputs[0])
    weight, axes = constant_shape(node.inputs[1]) or (0, 0), axes_of(node)
    if attributes.get_string("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in attributes:
        return "its padding follows from the shape of its output"
    if any(step != 1 for step in attributes.get_ints("dilations", [])):
        return "it is dilated"
    if any(axis.end < 0 for axis in axes):
        return "its output goes beyond what its weights reach"
    if attributes.get_int("group", 1) > 1 and weight[0] > GROUPED:
        return f"it has groups and more than {GROUPED} channels"
    strided = any(axis.stride > 1 for axis in axes)
    if strided and (shape is None or not can_spread(shape[2:], [a.stride for a in axes])):
        return "its positions are not known"
    return None


def write_transposed(writer: Writer, node: ir.Node, output: Quantization) -> None:
    """Write a ConvTranspose as Conv; its integers are spread and cut behind the quantizer."""
    axes, shape, weight = axes_of(node), sizes(node.inputs[0]), constant_shape(node.inputs[1])
    if shape is None or weight is None:
        raise ModelError(f"{node.name!r} was to become a convolution, and its shape is not known")
    channels = weight[1] * node.attributes.get_int("group", 1)
    _become_convolution(writer, node, axes)
    quantizer = quantizer_behind(node)
    for value in (node.outputs[0], *quantizer.inputs[:1], *quantizer.outputs):
        value.shape = None  # they have the channels of all phases now
    made = quantizer.outputs[0]
    readers = [(use.node, use.idx) for use in made.uses()]
    end = _spread(writer, str(node.name), made, axes, shape[2:], channels)
    end = _cut(writer, str(node.name), end, axes)
    for reader, index in readers:
        reader.replace_input_with(index, end)


def _become_convolution(writer: Writer, node: ir.Node, axes: list[Axis]) -> None:
    """Make a Conv of a ConvTranspose, which makes all phases of a stride as channels."""
    weight = constant(node.inputs[1])
    if weight is None:
        raise ModelError(f"{node.name!r} has no constant weight")
    kernel = convolution_weight(weight, axes, node.attributes.get_int("group", 1))
    inputs = [node.inputs[0], writer.constant(f"{node.name}.phases", kernel.astype(np.float32))]
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is not None:
        tiled = np.tile(bias, len(kernel) // len(bias)).astype(np.float32)
        inputs.append(writer.constant(f"{node.name}.phases.bias", tiled))
    pads = [axis.pads[end] for end in (0, 1) for axis in axes]
    rewire(node, "Conv", inputs, pads=pads, kernel_shape=list(kernel.shape[2:]))


def convolution_weight(weight: FloatArray, axes: list[Axis], groups: int) -> Array:
    """Return the weight of the convolution: [phases * outputs, inputs, *taps].

    Args:
        weight: [inputs, outputs of a group, *kernel].
        axes: the spatial axes.
        groups: they are made one.
    """
    inputs, outputs = weight.shape[:2]
    rank = len(axes)
    dense = np.swapaxes(weight, 0, 1)
    if groups > 1:
        rows = weight.reshape(groups, inputs // groups, outputs, *weight.shape[2:])
        rows = np.swapaxes(rows, 1, 2).reshape(groups * outputs, -1, *weight.shape[2:])
        dense = merge_groups(rows, groups, groups)
    full = [(0, axis.taps * axis.stride - axis.kernel) for axis in axes]
    padded = np.pad(dense, [(0, 0), (0, 0), *full])
    split = [size for axis in axes for size in (axis.taps, axis.stride)]
    parts = padded.reshape(*dense.shape[:2], *split)
    taps, phases = range(2, 2 + 2 * rank, 2), range(3, 3 + 2 * rank, 2)
    parts = np.flip(parts, tuple(taps)).transpose(*phases, 0, 1, *taps)
    return parts.reshape(-1, dense.shape[1], *[axis.taps for axis in axes])


def _spread(
    writer: Writer,
    name: str,
    value: ir.Value,
    axes: list[Axis],
    space: Sequence[int | None],
    channels: int,
) -> ir.Value:
    """Return the phases, which are channels, as positions."""
    strides = [axis.stride for axis in axes]
    if math.prod(strides) == 1:
        return value
    made = [
        None if size is None else size + sum(axis.pads) - axis.taps + 1
        for size, axis in zip(space, axes, strict=True)
    ]
    return spread(writer, name, value, made, strides, channels)


def _cut(writer: Writer, name: str, value: ir.Value, axes: list[Axis]) -> ir.Value:
    """Return a value without what the padding of the ConvTranspose cuts off."""
    left = [axis.left for axis in axes]
    cut = [index for index, (begin, end) in enumerate(left) if begin or end]
    if not cut:
        return value
    beyond = np.iinfo(np.int64).max
    begins = [left[index][0] for index in cut]
    ends = [-left[index][1] or int(beyond) for index in cut]
    bounds = [writer.integers(part) for part in (begins, ends, [index + 2 for index in cut])]
    return writer.node("Slice", [value, *bounds], f"{name}.cut", value.dtype)
