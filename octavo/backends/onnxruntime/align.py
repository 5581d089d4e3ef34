"""Channels padded to the widths that ONNX Runtime's integer convolutions are fast at.

Measured with onnxruntime 1.32 on x86, kernel by kernel: a depthwise QLinearConv works on 16
channels at a time and takes twice as long for 72 or 120 as for 80 or 128; the patches of a
QLinearConv larger than 1x1 are copied two to three times faster where the input has a multiple of 4
channels (an image has 3). The added channels meet weights of zero: nothing that the network
computes changes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.edits import FLOAT
from octavo.backends.onnxruntime.fold import initializer
from octavo.backends.onnxruntime.qdq import Writer

DEPTHWISE = 16
PATCHES = 4
MOST = 1.5  # more channels than this times those there are cost more elsewhere than is gained
METADATA = "octavo.channels"

KEEPING = frozenset(
    {
        "Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "MaxPool",
        "AveragePool", "GlobalAveragePool",
    }
)  # fmt: skip
"""Operators of one activation whose channels do not meet."""

PAIRING = frozenset({"Add", "Mul"})
"""Operators of two activations, or of one and a constant, channel by channel."""


def _padded(channels: int, multiple: int) -> int:
    return -(-channels // multiple) * multiple


@dataclass
class Region:
    """Tensors of the same channels, from the convolutions that make them to those that mix them.

    Attributes:
        channels: how many there are.
        tensors: by the identity of the value.
        makers: convolutions whose outputs are in it.
        mixers: convolutions whose inputs are in it.
        inner: depthwise convolutions and operators with a constant operand.
        closed: False where something else reads or makes one of the tensors.
    """

    channels: int
    tensors: dict[int, ir.Value] = field(default_factory=dict)
    makers: dict[int, ir.Node] = field(default_factory=dict)
    mixers: dict[int, ir.Node] = field(default_factory=dict)
    inner: dict[int, ir.Node] = field(default_factory=dict)
    closed: bool = True

    def grow(self, start: ir.Value) -> None:
        """Add every tensor that shares its channels with `start`."""
        waiting = [start]
        while waiting and self.closed:
            value = waiting.pop()
            if id(value) in self.tensors:
                continue
            self.tensors[id(value)] = value
            maker = value.producer()
            if maker is None or value.is_graph_output():
                self.closed = False
                return
            for node in (maker, *(use.node for use in value.uses())):
                self.closed &= node.graph is start.graph  # what a body reads stays as it is
                waiting += self._neighbours(node, value)

    def _neighbours(self, node: ir.Node, value: ir.Value) -> list[ir.Value]:
        """Return the other tensors of a node that share the channels of one of them."""
        if node.op_type == "Conv" and not node.domain and node.inputs[1] is not value:
            return self._through_convolution(node, value)
        if node.domain or node.op_type not in KEEPING | PAIRING or len(node.outputs) != 1:
            self.closed = False
            return []
        operands = node.inputs if node.op_type in PAIRING else node.inputs[:1]
        found = [node.outputs[0]]
        for operand in operands:
            if operand is None or operand.const_value is None:
                found += [operand] if operand is not None else []
            elif not self._takes(node, operand):
                self.closed = False
        return found

    def _takes(self, node: ir.Node, operand: ir.Value) -> bool:
        """Return whether a constant is one number, or one per channel."""
        shape = _shape(operand)
        if int(np.prod(shape)) == 1:
            return True
        self.inner[id(node)] = node
        return _per_channel(shape, self.channels)

    def _through_convolution(self, node: ir.Node, value: ir.Value) -> list[ir.Value]:
        source = node.inputs[0]
        if not _is_constant_convolution(node) or source is None:
            self.closed = False
            return []
        made, read = _channels(node)
        if is_depthwise(node):
            self.inner[id(node)] = node
            self.closed &= made == self.channels
            return [source, node.outputs[0]]
        self.closed &= node.attributes.get_int("group", 1) == 1
        if value is node.outputs[0]:
            self.makers[id(node)] = node
            self.closed &= made == self.channels
        else:
            self.mixers[id(node)] = node
            self.closed &= read == self.channels
        return []

    def pad(self, graph: ir.Graph, channels: int) -> None:
        """Give every tensor `channels` channels; those that are new meet weights of zero."""
        for node in self.makers.values():
            _pad_constant(graph, node, 1, 0, channels)
            _pad_constant(graph, node, 2, 0, channels)
        for node in self.mixers.values():
            _pad_constant(graph, node, 1, 1, channels)
        for node in self.inner.values():
            if node.op_type == "Conv":
                _pad_constant(graph, node, 1, 0, channels)
                _pad_constant(graph, node, 2, 0, channels)
                node.attributes["group"] = ir.AttrInt64("group", channels)
            else:
                self._pad_operands(graph, node, channels)
        for value in self.tensors.values():
            if value.shape is not None:
                value.shape = ir.Shape([value.shape[0], channels, *value.shape[2:]])

    def _pad_operands(self, graph: ir.Graph, node: ir.Node, channels: int) -> None:
        for index, operand in enumerate(node.inputs):
            if operand is not None and operand.const_value is not None:
                shape = _shape(operand)
                if int(np.prod(shape)) != 1:
                    _pad_constant(graph, node, index, shape.index(self.channels), channels)


def is_depthwise(node: ir.Node) -> bool:
    """Return whether a convolution has one filter per channel."""
    weight = node.inputs[1] if node.op_type == "Conv" and len(node.inputs) > 1 else None
    if weight is None or weight.const_value is None:
        return False
    shape = _shape(weight)
    return shape[1] == 1 and shape[0] == node.attributes.get_int("group", 1) > 1


def _is_constant_convolution(node: ir.Node) -> bool:
    given = [value for value in node.inputs[1:] if value is not None]
    return bool(given) and all(value.const_value is not None for value in given)


def _channels(node: ir.Node) -> tuple[int, int]:
    """Return how many channels a convolution makes and reads."""
    weight = node.inputs[1]
    shape = _shape(weight) if weight is not None else (0, 0)
    return shape[0], shape[1] * node.attributes.get_int("group", 1)


def _shape(constant: ir.Value) -> tuple[int, ...]:
    value = constant.const_value
    return () if value is None else tuple(int(size) for size in value.shape.numpy())


def _per_channel(shape: tuple[int, ...], channels: int) -> bool:
    """Return whether a constant beside [N, C, H, W] has one number per channel."""
    return shape in ((channels, 1, 1), (1, channels, 1, 1))


def _pad_constant(
    graph: ir.Graph, node: ir.Node, index: int, axis: int, size: int, label: str = "aligned"
) -> None:
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None or value.const_value is None:
        return
    array = _pad(np.asarray(value.const_value.numpy()), axis, size)
    node.replace_input_with(index, initializer(graph, f"{value.name}.{label}", array))


def _pad(array: Array, axis: int, size: int) -> Array:
    widths = [(0, size - n if i == axis else 0) for i, n in enumerate(array.shape)]
    return np.pad(array, widths)


def align_depthwise(graph: ir.Graph, quantized: Collection[str]) -> dict[str, int]:
    """Pad the channels of depthwise convolutions to a multiple of 16, where nothing else sees them.

    Args:
        graph: a float graph, changed in place.
        quantized: names of the convolutions that will be integer.

    Returns:
        the channels that the tensors had, by name, of those that have more now.
    """
    found: dict[str, int] = {}
    done: set[int] = set()
    for node in list(graph):
        if str(node.name) not in quantized or not is_depthwise(node) or id(node) in done:
            continue
        channels = _channels(node)[0]
        wanted = _padded(channels, DEPTHWISE)
        region = Region(channels)
        if channels < wanted <= MOST * channels:
            region.grow(node.outputs[0])
            done.update(region.inner)
            if region.closed:
                region.pad(graph, wanted)
                found |= {str(value.name): channels for value in region.tensors.values()}
    return found


def align_patches(writer: Writer, inputs: Collection[str], quantized: Collection[str]) -> None:
    """Pad the channels of integer model inputs to a multiple of 4 for convolutions beyond 1x1.

    Args:
        writer: writes into a graph with quantizers.
        inputs: names of the model's inputs.
        quantized: names of the convolutions that the plan made integer.
    """
    for node in list(writer.graph):
        if str(node.name) not in quantized or node.attributes.get_int("group", 1) != 1:
            continue
        source, weight = (_dequantizer(value) for value in node.inputs[:2])
        if source is None or weight is None or not _reads_input(source, inputs):
            continue
        integers = weight.inputs[0]
        shape = _shape(integers) if integers is not None else ()
        if shape and shape[1] % PATCHES and int(np.prod(shape[2:])) > 1:
            wanted = _padded(shape[1], PATCHES)
            node.replace_input_with(0, _pad_activation(writer, source, len(shape), wanted))
            node.replace_input_with(1, _pad_weight(writer, weight, wanted))


def _dequantizer(value: ir.Value | None) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _reads_input(dequantizer: ir.Node, inputs: Collection[str]) -> bool:
    integers = dequantizer.inputs[0]
    quantizer = integers.producer() if integers is not None else None
    read = quantizer.inputs[0] if quantizer is not None else None
    return read is not None and read.is_graph_input() and read.name in inputs


def _pad_activation(writer: Writer, dequantizer: ir.Node, rank: int, channels: int) -> ir.Value:
    integers, scale, zero = dequantizer.inputs
    if integers is None or scale is None or zero is None:
        raise ValueError(f"{dequantizer.name!r} has no zero point")
    quantizer = integers.producer()
    read = quantizer.inputs[0] if quantizer is not None else None
    had = read.shape[1] if read is not None and read.shape is not None else None
    missing = channels - had if isinstance(had, int) else channels % PATCHES
    pads = np.zeros(2 * rank, np.int64)
    pads[rank + 1] = missing
    name = f"{integers.name}.aligned"
    amount = writer.constant(f"{name}.pads", pads)
    wider = writer.node("Pad", [integers, amount, zero], name, ir.DataType.UINT8)
    return writer.node("DequantizeLinear", [wider, scale, zero], f"{name}.dequantized", FLOAT)


def _pad_weight(writer: Writer, dequantizer: ir.Node, channels: int) -> ir.Value:
    integers = dequantizer.inputs[0]
    if integers is None or integers.const_value is None:
        raise ValueError(f"{dequantizer.name!r} does not hold a weight")
    array = _pad(np.asarray(integers.const_value.numpy()), 1, channels)
    stored = writer.constant(f"{integers.name}.aligned", array)
    rest = [value for value in dequantizer.inputs[1:] if value is not None]
    axis = dequantizer.attributes.get("axis")
    attributes = {} if axis is None else {"axis": axis.as_int()}
    name = f"{stored.name}.dequantized"
    return writer.node("DequantizeLinear", [stored, *rest], name, FLOAT, **attributes)


def remember(model: ir.Model, channels: Mapping[str, int]) -> None:
    """Write into a model how many channels its tensors had before they were padded."""
    if channels:
        model.metadata_props[METADATA] = json.dumps(dict(channels))


def remembered(model: ir.Model) -> dict[str, int]:
    """Return the channels that `remember` wrote, by tensor."""
    return {str(k): int(v) for k, v in json.loads(model.metadata_props.get(METADATA, "{}")).items()}
