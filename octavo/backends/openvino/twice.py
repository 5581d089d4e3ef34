"""Weights that several operators read in different ways, of which OpenVINO packs only one form."""

from __future__ import annotations

import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT, constant_shape
from octavo.backends.onnxruntime.qdq import Writer

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def own_weights(writer: Writer) -> None:
    """Give operators that read a weight in different ways a copy each.

    OpenVINO 2026.4 keeps a float weight in the form that the first operator wants, under a key that
    tells neither a Conv from a ConvTranspose nor a matrix from the transposed one if their sizes
    are the same; the other operator multiplies by the wrong numbers.
    """
    for node in list(writer.graph):
        if shares_weight(node) and (weight := _weight(node)) is not None:
            values = weight.const_value.numpy()
            if _is_turned(node):
                values = values.T
            node.attributes.pop("transB", None)
            node.replace_input_with(1, writer.constant(f"{node.name}.own", values.copy()))


def shares_weight(node: ir.Node) -> bool:
    """Return whether another operator reads a node's float weight in another way."""
    weight = _weight(node)
    if weight is None or node.op_type not in PRODUCTS or node.domain:
        return False
    rows, columns, *_ = constant_shape(weight) or (0, 1)
    return rows == columns and any(_way(other) != _way(node) for other in _products(weight))


def _products(value: ir.Value) -> list[ir.Node]:
    """Return the operators whose weight a value is, be it transposed before."""
    found = []
    for node, index in value.uses():
        if node.op_type == "Transpose" and not node.domain:
            found += _products(node.outputs[0])
        elif node.op_type in PRODUCTS and not node.domain and index == 1:
            found.append(node)
    return found


def _weight(node: ir.Node) -> ir.Value | None:
    """Return the float constant that a node multiplies by; None where it is none of an axis."""
    value = node.inputs[1] if len(node.inputs) > 1 else None
    while value is not None and (maker := _transposes(value)) is not None:
        value = maker.inputs[0]
    shape = constant_shape(value)
    known = value is not None and value.dtype == FLOAT and shape is not None and len(shape) > 1
    return value if known else None


def _transposes(value: ir.Value) -> ir.Node | None:
    """Return the node that transposes a matrix into a value; None where it is made otherwise."""
    maker = value.producer()
    if maker is None or maker.op_type != "Transpose" or maker.domain:
        return None
    return maker if list(maker.attributes.get_ints("perm", [1, 0])) == [1, 0] else None


def _way(node: ir.Node) -> tuple[str, bool]:
    """Return how a node reads its weight; Gemm and MatMul read a matrix in the same way."""
    kind = "MatMul" if node.op_type == "Gemm" else node.op_type
    return kind, _is_turned(node)


def _is_turned(node: ir.Node) -> bool:
    """Return whether a node multiplies by its stored matrix transposed."""
    turned = node.op_type == "Gemm" and bool(node.attributes.get_int("transB", 0))
    value = node.inputs[1]
    while value is not None and (maker := _transposes(value)) is not None:
        turned, value = not turned, maker.inputs[0]
    return turned
