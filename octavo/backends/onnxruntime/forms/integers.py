"""Running an operator on the integers of a tensor, where ONNX Runtime would not move it there."""

from __future__ import annotations

import onnx_ir as ir

from octavo.errors import ModelError


def integers_read(node: ir.Node) -> ir.Value:
    """Return the integers that the first input of a node is dequantized from.

    Raises:
        ModelError: it is not dequantized.
    """
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    if source is None or source.op_type != "DequantizeLinear" or source.inputs[0] is None:
        raise ModelError(f"{node.name!r} was to move integers, and what it reads is not quantized")
    return source.inputs[0]


def quantizer_behind(node: ir.Node) -> ir.Node:
    """Return the QuantizeLinear behind a node, behind the activation that it may end in.

    Raises:
        ModelError: anything else reads what it makes.
    """
    (use, *others) = node.outputs[0].uses()
    reader = use.node
    if not others and reader.op_type == "QuantizeLinear":
        return reader
    if others or reader.op_type not in ("Relu", "Clip"):
        raise ModelError(f"{node.name!r} was to make integers, and what it makes is not quantized")
    return quantizer_behind(reader)


def make_integers(node: ir.Node, source: ir.Value) -> None:
    """Let a node, of an operator that moves values, read integers and make integers."""
    quantizer = quantizer_behind(node)
    node.replace_input_with(0, source)
    node.outputs[0].type = ir.TensorType(source.dtype)
    quantizer.outputs[0].replace_all_uses_with(node.outputs[0])
    quantizer.graph.remove(quantizer, safe=True)
