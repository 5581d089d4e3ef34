"""Computing what depends on constants alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array

COMPUTED = frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand",
        "Flatten", "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less",
        "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal",
        "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Slice", "Split", "Sqrt",
        "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
"""Operators whose results are computed where all that they read is known."""

ROOM = 1 << 20  # bytes that a result may have, unless what it was made of is as large


def evaluate(
    node: ir.Node, values: Mapping[str, Array], opsets: Mapping[str, int]
) -> list[Array] | None:
    """Return what a node makes of values by name; None where that cannot be computed here."""
    from onnx.reference import ReferenceEvaluator

    read = {str(value.name) for value in node.inputs if value is not None}
    try:
        evaluator = ReferenceEvaluator(ir.to_proto(node), opsets=dict(opsets))
        with np.errstate(divide="raise", invalid="raise"):
            made = evaluator.run(None, {name: values[name] for name in read})
    except Exception:  # what cannot be computed here is found out when the model runs
        return None
    return [np.asarray(array) for array in made]


def fold_constants(graph: ir.Graph) -> None:
    """Replace nodes that read constants alone by what they make: exporters transpose weights.

    A result that is much larger than what it is made of is left to be computed.
    """
    for node in list(graph):
        if node.domain or node.op_type not in COMPUTED or not node.inputs:
            continue
        read = [value for value in node.inputs if value is not None]
        outputs = node.outputs
        if not all(_is_constant(value) for value in read) or any(
            output.is_graph_output() for output in outputs
        ):
            continue
        values = {str(value.name): _array(value) for value in read}
        made = evaluate(node, values, graph.opset_imports)
        room = max(ROOM, 2 * sum(array.nbytes for array in values.values()))
        if made is not None and sum(array.nbytes for array in made) <= room:
            for output, array in zip(outputs, made, strict=True):
                replace_by_constant(graph, output, array)
            graph.remove(node, safe=True)


def replace_by_constant(graph: ir.Graph, value: ir.Value, array: Array) -> None:
    """Let all that reads a value read a constant instead, which takes over its name."""
    name = str(value.name)
    tensor = ir.tensor(array, name=name)
    constant = ir.Value(
        name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    value.name = f"{name}.computed"
    value.replace_all_uses_with(constant)
    graph.register_initializer(constant)


def _is_constant(value: ir.Value) -> bool:
    tensor = value.const_value
    return tensor is not None and tensor.dtype != ir.DataType.STRING


def _array(value: ir.Value) -> Array:
    if value.const_value is None:
        raise ValueError(f"{value.name!r} is not constant")
    return np.asarray(value.const_value.numpy())
