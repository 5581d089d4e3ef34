"""Einsum of two operands as MatMul: ONNX Runtime has integer kernels for that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT, constant, rewire, sizes
from octavo.backends.onnxruntime.qdq import Writer


@dataclass(frozen=True)
class Roles:
    """The axes of two operands and their product, by letter, each in the order of the first.

    Attributes:
        batch: in both operands and the product.
        rows: in the first operand and the product.
        columns: in the second operand and the product; one.
        summed: in both operands; one.
    """

    batch: str
    rows: str
    columns: str
    summed: str


def multiply_einsums(writer: Writer) -> None:
    """Write an Einsum that is a product of matrices as transposes around a MatMul."""
    for node in list(writer.graph):
        if node.op_type == "Einsum" and not node.domain and len(node.inputs) == 2:
            _multiply(writer, node)


def parse(equation: str) -> tuple[str, str, str] | None:
    """Return the letters of both operands and the product; None for forms that are rarer."""
    operands, arrow, product = equation.replace(" ", "").partition("->")
    first, comma, second = operands.partition(",")
    plain = (first + second + product).isalpha() and "," not in second
    unique = all(len(set(part)) == len(part) for part in (first, second, product))
    return (first, second, product) if arrow and comma and plain and unique else None


def roles_of(first: str, second: str, product: str) -> Roles | None:
    """Return which axes are which; None where it is not one matrix product for each batch."""
    both, made = set(first) & set(second), set(product)
    batch = "".join(axis for axis in first if axis in both and axis in made)
    summed = "".join(axis for axis in first if axis in both and axis not in made)
    rows = "".join(axis for axis in first if axis not in both)
    columns = "".join(axis for axis in second if axis not in both)
    whole = made == {*batch, *rows, *columns}
    single = len(summed) == len(columns) == 1 and (len(rows) == 1 or not batch) and rows
    return Roles(batch, rows, columns, summed) if whole and single else None


def _multiply(writer: Writer, node: ir.Node) -> None:
    letters = parse(node.attributes.get_string("equation", ""))
    first, second = node.inputs
    if letters is None or first is None or second is None:
        return
    if constant(first) is not None and constant(second) is None:
        letters, (first, second) = (letters[1], letters[0], letters[2]), (second, first)
    roles = roles_of(*letters)
    if roles is None or first.dtype != FLOAT or second.dtype != FLOAT:
        return
    if not all(_fits(value, axes) for value, axes in ((first, letters[0]), (second, letters[1]))):
        return
    name = str(node.name)
    made = roles.batch + roles.rows + roles.columns
    left = _ordered(writer, f"{name}.left", first, letters[0], made[:-1] + roles.summed)
    wanted = roles.batch + roles.summed + roles.columns
    right = _ordered(writer, f"{name}.right", second, letters[1], wanted)
    rewire(node, "MatMul", [left, right])
    if made != letters[2]:
        perm = [made.index(axis) for axis in letters[2]]
        writer.follow(node, "Transpose", f"{name}.turned", perm=perm)


def _fits(value: ir.Value, axes: str) -> bool:
    """Return whether the number of axes is known to be that of the equation."""
    shape = sizes(value)
    return shape is not None and len(shape) == len(axes)


def _ordered(writer: Writer, name: str, value: ir.Value, axes: str, wanted: str) -> ir.Value:
    """Return a value with its axes in another order."""
    if axes == wanted:
        return value
    perm = [axes.index(axis) for axis in wanted]
    known = constant(value)
    if known is not None:
        turned = np.ascontiguousarray(known.transpose(perm), np.float32)
        return writer.constant(f"{name}.transposed", turned)
    return writer.node("Transpose", [value], name, FLOAT, perm=perm)
