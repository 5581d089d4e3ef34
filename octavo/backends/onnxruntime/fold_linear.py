"""Folding what scales and shifts the columns of a matrix product into its weight and bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from octavo.arrays import FloatArray
from octavo.backends.onnxruntime.edits import constant
from octavo.backends.onnxruntime.fold import initializer

MOVERS = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"})
"""Operators that a factor on all values can be moved across."""


@dataclass(frozen=True)
class Linear:
    """x @ weight + bias.

    Attributes:
        product: a MatMul by a constant matrix, or a Gemm without factors.
        add: the Add of a bias behind a MatMul; None where there is none.
        weight: float64, its columns on axis 1.
        bias: float64 [columns], zeros where there is none.
    """

    product: ir.Node
    add: ir.Node | None
    weight: FloatArray
    bias: FloatArray

    @property
    def output(self) -> ir.Value:
        """What it makes."""
        return (self.add or self.product).outputs[0]


def fold_linear(graph: ir.Graph) -> None:
    """Fold Mul, Div, Add and Sub by a constant row or number into the matrix product before them.

    Where a residual is added in between, (x @ w + r) * g + h becomes x @ (w * g) + h + r * g. A
    factor on the scores of an attention moves into the projection of its queries.
    """
    for node in list(graph):
        folds = (_fold_rows, _fold_residual, _fold_moved) if node.graph is graph else ()
        any(fold(graph, node) for fold in folds)


def _alone(value: ir.Value | None) -> bool:
    """Return whether a value has one reader, and is not shown."""
    return value is not None and len(value.uses()) == 1 and not value.is_graph_output()


def linear_of(value: ir.Value | None) -> Linear | None:
    """Return the linear layer that makes a value which only one node reads."""
    node = value.producer() if value is not None and _alone(value) else None
    if node is None or node.domain:
        return None
    if node.op_type == "Gemm":
        return _gemm(node)
    if node.op_type == "Add":
        for index in (0, 1):
            found = _matmul(node.inputs[index], node)
            row = constant(node.inputs[1 - index])
            if found is not None and row is not None and row.shape == found.bias.shape:
                return Linear(found.product, node, found.weight, row)
    return _matmul(value, None)


def _matmul(value: ir.Value | None, add: ir.Node | None) -> Linear | None:
    node = value.producer() if value is not None and _alone(value) else None
    if node is None or node.op_type != "MatMul" or node.domain:
        return None
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim != 2:
        return None
    return Linear(node, add, weight, np.zeros(weight.shape[1]))


def _gemm(node: ir.Node) -> Linear | None:
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    weight = constant(node.inputs[1])
    if factors != [1.0, 1.0] or weight is None:
        return None
    if node.attributes.get_int("transB", 0):
        weight = weight.T
    given = node.inputs[2] if len(node.inputs) > 2 else None
    bias = np.zeros(weight.shape[1]) if given is None else constant(given)
    if bias is None or bias.shape != (weight.shape[1],):
        return None
    return Linear(node, None, weight, bias)


def _write(graph: ir.Graph, linear: Linear, scale: FloatArray, shift: FloatArray) -> ir.Value:
    """Give the layer weight * scale and bias * scale + shift; return what it makes."""
    node, add = linear.product, linear.add
    weight, bias = linear.weight * scale, linear.bias * scale + shift
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0):
        weight = weight.T
    if np.any(scale != 1):
        node.replace_input_with(1, initializer(graph, f"{node.name}.weight", weight))
    row = initializer(graph, f"{node.name}.bias", bias) if np.any(bias) or add else None
    if node.op_type == "Gemm":
        node.resize_inputs(3)
        node.replace_input_with(2, row)
    elif add is not None:
        index = 0 if add.inputs[1] is node.outputs[0] else 1
        add.replace_input_with(index, row)
    elif row is not None:
        return _append_bias(graph, node, row)
    return linear.output


def _append_bias(graph: ir.Graph, node: ir.Node, row: ir.Value) -> ir.Value:
    product = node.outputs[0]
    made = ir.node("Add", [product, row], name=f"{node.name}.bias_add")
    made.outputs[0].name = f"{product.name}.biased"
    made.outputs[0].type = product.type
    made.outputs[0].shape = product.shape
    graph.insert_after(node, made)
    return made.outputs[0]


def _affine(node: ir.Node) -> tuple[ir.Value, str, FloatArray] | None:
    """Return what a node reads, `scale` or `shift`, and by how much, for one constant operand."""
    if node.domain or node.op_type not in ("Mul", "Div", "Add", "Sub"):
        return None
    values = [constant(value) for value in node.inputs]
    commutes = node.op_type in ("Mul", "Add")
    for index in (0, 1) if commutes else (0,):
        source, amount = node.inputs[index], values[1 - index]
        if source is not None and values[index] is None and amount is not None:
            kind = "scale" if node.op_type in ("Mul", "Div") else "shift"
            inverse = {"Div": np.reciprocal, "Sub": np.negative}.get(node.op_type)
            if inverse is not None and (kind == "shift" or np.all(amount != 0)):
                amount = inverse(amount)
            elif inverse is not None:
                return None
            return source, kind, amount
    return None


def _row(amount: FloatArray, columns: int, rank: int) -> FloatArray | None:
    """Return a constant as one number per column; None where it differs by row or adds axes."""
    if amount.ndim > rank or amount.size not in (1, columns):
        return None
    if amount.size != 1 and amount.shape[-1] != columns:
        return None
    return np.broadcast_to(amount.reshape(-1), (columns,))


def _rank(value: ir.Value) -> int:
    return 2 if value.shape is None else len(value.shape)


def _take_over(graph: ir.Graph, old: ir.Node, value: ir.Value) -> None:
    """Let `value` stand for what `old` made, name included, and remove `old`."""
    result = old.outputs[0]
    name, shape, kind = result.name, result.shape, result.type
    result.replace_all_uses_with(value, replace_graph_outputs=True)
    graph.remove(old, safe=True)
    result.name = None
    value.name = name
    value.shape = shape if shape is not None else value.shape
    value.type = kind if kind is not None else value.type


def _fold_rows(graph: ir.Graph, node: ir.Node) -> bool:
    found = _affine(node)
    linear = linear_of(found[0]) if found else None
    if found is None or linear is None:
        return False
    source, kind, amount = found
    columns = linear.weight.shape[1]
    row = _row(amount, columns, _rank(source))
    if row is None or (kind == "shift" and linear.add is None and linear.product.op_type != "Gemm"):
        return False  # the Add of a bias is part of the layer already
    ones, zeros = np.ones(columns), np.zeros(columns)
    scale, shift = (row, zeros) if kind == "scale" else (ones, row)
    _take_over(graph, node, _write(graph, linear, scale, shift))
    return True


def _fold_residual(graph: ir.Graph, node: ir.Node) -> bool:
    """Fold (linear + residual) * scale + shift, `node` being the Add of the shift."""
    outer = _affine(node)
    multiply = outer[0].producer() if outer and outer[1] == "shift" else None
    inner = _affine(multiply) if multiply is not None and _alone(multiply.outputs[0]) else None
    add = inner[0].producer() if inner and inner[1] == "scale" else None
    if outer is None or inner is None or multiply is None or add is None:
        return False
    if add.op_type != "Add" or add.domain or not _alone(add.outputs[0]):
        return False
    for index in (0, 1):
        linear, residual = linear_of(add.inputs[index]), add.inputs[1 - index]
        if linear is None or residual is None or constant(residual) is not None:
            continue
        columns = linear.weight.shape[1]
        rows = [_row(amount, columns, _rank(inner[0])) for amount in (inner[2], outer[2])]
        scale, shift = rows
        if scale is None or shift is None:
            continue
        add.replace_input_with(index, _write(graph, linear, scale, shift))
        multiply.replace_input_with(0, residual)
        factor = initializer(graph, f"{multiply.name}.scale", scale)
        multiply.op_type = "Mul"
        multiply.replace_input_with(1, factor)
        graph.remove(multiply)
        graph.insert_before(add, multiply)
        multiply.outputs[0].replace_all_uses_with(add.outputs[0])
        multiply.outputs[0].shape = None
        add.replace_input_with(1 - index, multiply.outputs[0])
        _take_over(graph, node, add.outputs[0])
        return True
    return False


def _fold_moved(graph: ir.Graph, node: ir.Node) -> bool:
    """Fold a factor into the layer that is moved, or multiplied by activations, in front of it."""
    found = _affine(node)
    if found is None or found[1] != "scale" or found[2].size != 1 or found[2].ndim > 1:
        return False
    linear = _layer_behind(found[0])
    if linear is None:
        return False
    columns = linear.weight.shape[1]
    _write(graph, linear, np.full(columns, found[2].item()), np.zeros(columns))
    _take_over(graph, node, found[0])
    return True


def _layer_behind(value: ir.Value | None) -> Linear | None:
    """Return the layer whose values reach `value` moved, or as the first operand of products."""
    while value is not None and _alone(value):
        made = value.producer()
        if made is None or made.domain or made.op_type not in (*MOVERS, "MatMul"):
            return None
        value = made.inputs[0]
        if (linear := linear_of(value)) is not None:
            return linear
    return None
