"""Arithmetic by column behind products of rows, which OpenVINO takes into quantizers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.edits import sizes
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.openvino.biases import adder, stored
from octavo.backends.openvino.nothing import is_read_twice, read_twice

PRODUCTS = frozenset({"MatMul", "Gemm"})
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "BatchNormalization"})
"""What OpenVINO takes into the quantizer behind it where the other operand is a constant."""
ELEMENTWISE = ARITHMETIC | {
    "Abs", "Ceil", "Clip", "DequantizeLinear", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Min", "Mish", "Neg", "PRelu", "Pow",
    "QuantizeLinear", "Relu", "Round", "Selu", "Sigmoid", "Softmax", "Softplus", "Softsign", "Sqrt",
    "Swish", "Tanh",
}  # fmt: skip
"""What OpenVINO computes in one kernel with the products around it."""


def keep_products_apart(writer: Writer) -> None:
    """Keep products of rows out of one kernel where columns are scaled or shifted between them.

    OpenVINO 2026.4 takes the numbers into the quantizer behind, which then has a range for each
    column. Where shapes are fixed and the processor has VNNI, it makes one kernel of the products
    and of all between them, and with such a quantizer that computes something else.
    """
    for node in list(writer.graph):
        for maker in _joined(node):
            read_twice(writer, maker)


def joins_columns(node: ir.Node) -> bool:
    """Return whether a node quantizes columns, each scaled or shifted by a number of its own.

    Only where a product of rows makes them that another one may be joined with.
    """
    return bool(_joined(node))


def _joined(node: ir.Node) -> list[ir.Node]:
    """Return what makes the results of products, with their biases, whose columns are quantized."""
    if node.op_type != "QuantizeLinear":
        return []
    value, varied = node.inputs[0], False
    while (step := _arithmetic(value)) is not None:
        maker, data, other = step
        above = data.producer()
        bias = above is not None and _multiplies_rows(above) and maker is adder(above)
        varied = varied or (not bias and _varies(other))
        value = data
    if not varied:
        return []
    products = filter(_multiplies_rows, _above(value))
    return [maker for one in products if not is_read_twice(maker := adder(one) or one)]


def _arithmetic(value: ir.Value | None) -> tuple[ir.Node, ir.Value, ir.Value] | None:
    """Return the node that makes a value of another one and a constant, and those two."""
    maker = value.producer() if value is not None else None
    if maker is None or maker.op_type not in ARITHMETIC or maker.domain:
        return None
    first, second = maker.inputs[:2]
    if first is None or second is None:
        return None
    if _values(second) is not None:
        return maker, first, second
    return (maker, second, first) if _values(first) is not None else None


def _values(value: ir.Value) -> Array | None:
    """Return the numbers of a constant, or its integers where it is kept as such."""
    known = value.const_value if value.const_value is not None else stored(value)
    return None if known is None else known.numpy()


def _varies(value: ir.Value) -> bool:
    numbers = _values(value)
    return numbers is not None and numbers.size > 1 and bool(np.any(numbers != numbers.flat[0]))


def _above(value: ir.Value | None) -> Iterator[ir.Node]:
    """Yield the nodes that make a value element by element, and those that their values are of."""
    pending, seen = [value], set()
    while pending:
        maker = one.producer() if (one := pending.pop()) is not None else None
        if maker is None or maker in seen:
            continue
        seen.add(maker)
        yield maker
        if maker.op_type in ELEMENTWISE:
            pending += maker.inputs


def _multiplies_rows(node: ir.Node) -> bool:
    """Return whether a node multiplies rows by a constant matrix."""
    if node.op_type not in PRODUCTS or node.domain or node.inputs[1] is None:
        return False
    return _values(node.inputs[1]) is not None and len(sizes(node.inputs[0]) or ()) <= 2
