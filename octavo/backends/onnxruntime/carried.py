"""Quantization that a model carries already: it stays as it is, and its user is told."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})

INTEGER_OPERATORS = frozenset(
    {
        "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeLinear", "DynamicQuantizeMatMul",
        "GatherBlockQuantized", "MatMulBnb4", "MatMulInteger", "MatMulIntegerToFloat",
        "MatMulNBits", "QAttention", "QEmbedLayerNormalization", "QGemm", "QMoE",
    }
)  # fmt: skip
"""Operators on integers, beside those that are called `QLinear...`."""

PART = "it is part of the quantization that the model carries"
INTEGER = "it computes with integers already"
QUANTIZED = "it is quantized already: it reads dequantized values"
STORED = "its weight is stored as integers already"
REASONS = frozenset({PART, INTEGER, QUANTIZED, STORED})


def is_quantizer(node: ir.Node | None) -> bool:
    """Return whether a node is a QuantizeLinear or a DequantizeLinear, of ONNX or of Microsoft."""
    return node is not None and node.op_type in QUANTIZERS and node.domain in DOMAINS


def is_integer(node: ir.Node) -> bool:
    """Return whether a node is an operator on integers that a quantizer has written."""
    if node.domain not in DOMAINS:
        return False
    return node.op_type in INTEGER_OPERATORS or node.op_type.startswith("QLinear")


def dequantizes(value: ir.Value | None) -> bool:
    """Return whether a value comes out of a DequantizeLinear."""
    node = value.producer() if value is not None else None
    return node is not None and is_quantizer(node) and node.op_type == "DequantizeLinear"


def carried(head: ir.Node, tail: ir.Node, *, multiplies: bool) -> str | None:
    """Return why a group stays as it is where it is quantized already, None where it is not.

    Args:
        head: its main operator.
        tail: its last one.
        multiplies: the main operator is a convolution, or a product by a weight.
    """
    if is_quantizer(head):
        return PART
    if is_integer(head):
        return INTEGER
    if multiplies:
        source, weight = head.inputs[0], head.inputs[1]
        if not dequantizes(weight):
            return None
        if dequantizes(source):
            return QUANTIZED
        return STORED if _is_constant_below(weight) else None
    read = [value for value in head.inputs if value is not None and not _is_constant(value)]
    return QUANTIZED if read and all(map(dequantizes, read)) and _is_requantized(tail) else None


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _is_constant_below(value: ir.Value | None) -> bool:
    """Return whether a dequantized value is a constant."""
    node = value.producer() if value is not None else None
    return node is not None and _is_constant(node.inputs[0])


def _is_requantized(node: ir.Node) -> bool:
    """Return whether nothing but quantizers reads what a node makes."""
    readers = [use.node for output in node.outputs for use in output.uses()]
    returned = any(output.is_graph_output() for output in node.outputs)
    return bool(readers) and all(map(is_quantizer, readers)) and not returned


def describe_carried(graph: ir.Graph) -> str | None:
    """Return, for the user, what of a model is quantized already; None for a float model."""
    nodes = list(graph.all_nodes())
    integers = Counter(node.op_type for node in nodes if is_integer(node))
    if integers:
        named = ", ".join(integers)
        return (
            f"the model is quantized already, into {integers.total()} operators on integers "
            f"({named}), which cannot be turned back; give the float model it was made from"
        )
    count = sum(is_quantizer(node) for node in nodes)
    if not count:
        return None
    return (
        f"the model is quantized already: its {count} QuantizeLinear and DequantizeLinear "
        "operators stay as they are; give the float model it was made from, or take them out with "
        "--requantize (requantize=True)"
    )
