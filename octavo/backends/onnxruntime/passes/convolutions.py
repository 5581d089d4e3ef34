"""What is, or can be part of, a convolution: scales of channels, padding, the order of channels."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import (
    FLOAT,
    alone_reads,
    constant,
    constant_shape,
    integers,
    rewire,
    scalar,
    sizes,
)
from octavo.backends.onnxruntime.fold import batch_normalization
from octavo.backends.onnxruntime.qdq import Writer

POINTWISE = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish"})


def convolve_normalizations(writer: Writer) -> None:
    """Write a BatchNormalization that follows no convolution as a depthwise one of 1x1.

    ONNX Runtime has no integer kernel for it, and convolves as fast in float.
    """
    for node in list(writer.graph):
        shape = sizes(node.inputs[0]) if node.op_type == "BatchNormalization" else None
        affine = batch_normalization(node) if shape is not None else None
        if affine is None or shape is None or len(shape) < 3:
            continue
        channels, rank = affine.scale.size, len(shape)
        weight = affine.scale.reshape(channels, *[1] * (rank - 1)).astype(np.float32)
        operands = [
            writer.constant(f"{node.name}.{name}", array.astype(np.float32))
            for name, array in (("weight", weight), ("bias", affine.shift))
        ]
        if len(node.outputs) > 1:  # those of training, which nobody reads
            node.resize_outputs(1)
        window = [1] * (rank - 2)
        rewire(node, "Conv", [node.inputs[0], *operands], group=channels, kernel_shape=window)


def take_up_padding(writer: Writer) -> None:
    """Let convolutions pad with zeros what a Pad before them pads."""
    for node in list(writer.graph):
        before = node.inputs[0].producer() if node.op_type == "Conv" and node.inputs[0] else None
        pads = None if before is None or before.op_type != "Pad" else _zeros_around(before)
        if before is None or pads is None or before.graph is not node.graph:
            continue
        if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            continue
        own = node.attributes.get_ints("pads", []) or [0] * len(pads)
        node.attributes.pop("auto_pad", None)
        both = [a + b for a, b in zip(own, pads, strict=True)]
        node.attributes["pads"] = ir.AttrInt64s("pads", both)
        node.replace_input_with(0, before.inputs[0])


def _zeros_around(node: ir.Node) -> list[int] | None:
    """Return the pads of a Pad that adds zeros on spatial axes alone, as a Conv has them."""
    shape = sizes(node.inputs[0])
    if node.attributes.get_string("mode", "constant") != "constant" or shape is None:
        return None
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is not None and scalar(value) != 0:
        return None
    pads, rank = every_pad(node, len(shape)), len(shape)
    if pads is None or min(pads) < 0 or any(pads[i] for i in (0, 1, rank, rank + 1)):
        return None
    return pads[2:rank] + pads[rank + 2 :]


def every_pad(node: ir.Node, rank: int) -> list[int] | None:
    """Return the constant pads of a Pad for all axes, begins first; None if they are computed."""
    given = integers(node.inputs[1])
    axes: list[int] | None = [*range(rank)]
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = integers(node.inputs[3])
    if given is None or axes is None:
        return None
    pads = [0] * (2 * rank)
    for index, axis in enumerate(axes):
        pads[axis % rank] = given[index]
        pads[axis % rank + rank] = given[index + len(axes)]
    return pads


def pad_every_axis(writer: Writer) -> None:
    """Write the pads of a Pad for all axes where it names some.

    ONNX Runtime 1.32 does not see to the named ones where it moves a Pad into another layout.
    """
    for node in list(writer.graph):
        shape = sizes(node.inputs[0]) if node.op_type == "Pad" and not node.domain else None
        if shape is None or len(node.inputs) < 4 or node.inputs[3] is None:
            continue
        pads = every_pad(node, len(shape))
        if pads is not None:
            node.replace_input_with(1, writer.integers(pads))
            node.resize_inputs(3)


def shuffle_by_rows(writer: Writer) -> None:
    """Turn DepthToSpace of mode CRD (a PixelShuffle) into DCR where a convolution is before it.

    The convolution makes its channels in the other order. In the layout that ONNX Runtime convolves
    integers in, DCR moves whole runs of channels and CRD single bytes.
    """
    for node in list(writer.graph):
        if node.op_type != "DepthToSpace" or node.attributes.get_string("mode", "DCR") != "CRD":
            continue
        source = _convolution_before(node)
        shape = constant_shape(source.inputs[1]) if source is not None else None
        if source is None or shape is None or source.attributes.get_int("group", 1) != 1:
            continue
        blocks = node.attributes.get_int("blocksize", 1) ** 2
        order = np.arange(shape[0]).reshape(-1, blocks).T.reshape(-1)
        for index in range(1, len(source.inputs)):
            value = constant(source.inputs[index])
            if value is not None:
                name = f"{source.name}.reordered.{index}"
                ordered = writer.constant(name, value[order].astype(np.float32))
                source.replace_input_with(index, ordered)
        node.attributes["mode"] = ir.AttrString("mode", "DCR")


def _convolution_before(node: ir.Node) -> ir.Node | None:
    """Return the Conv whose output reaches a node through nothing that tells channels apart."""
    while (before := node.inputs[0].producer() if node.inputs[0] else None) is not None:
        if not alone_reads(node, before) or before.domain:
            return None
        if before.op_type == "Conv":
            known = [constant_shape(value) is not None for value in before.inputs[1:] if value]
            return before if all(known) and before.inputs[1].dtype == FLOAT else None
        if before.op_type not in POINTWISE:
            return None
        node = before
    return None
