"""Shapes of all tensors for the target's input shapes, and multiply-adds from them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.passes import common

from octavo.backends.onnxruntime.propagate import propagate

Shape = tuple[int | None, ...] | None


def infer(model: ir.Model, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, ir.Value]:
    """Return typed and shaped values by name.

    Args:
        model: left unchanged.
        inputs: concrete input shapes by name; free dimensions of others are taken as 1.
    """
    bound = model.clone()
    for value in bound.graph.inputs:
        if value.shape is not None:
            known = [size if isinstance(size, int) else 1 for size in value.shape]
            value.shape = ir.Shape(inputs.get(str(value.name), known))
    for node in bound.graph:
        for output in node.outputs:
            output.shape = None
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(bound)
    propagate(bound.graph)
    return {
        str(value.name): value
        for node in bound.graph
        for value in (*node.outputs, *node.inputs)
        if value is not None
    }


def free_shapes(model: ir.Model) -> dict[str, Shape]:
    """Return the shapes that hold for every input, by name; free dimensions are None.

    Args:
        model: left unchanged.
    """
    inferred = model.clone()
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(inferred)
    return {str(value.name): shape_of(value) for node in inferred.graph for value in node.outputs}


def shape_of(value: ir.Value | None) -> Shape:
    """Return a value's shape, None where it is not known."""
    if value is None or value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def macs(node: ir.Node, values: Mapping[str, ir.Value]) -> int:
    """Return the multiply-adds of a node, 0 where it has none or shapes are not known.

    Those of a recurrent layer are those of all its steps.
    """

    def shape(value: ir.Value | None) -> tuple[int, ...] | None:
        sizes = shape_of(values.get(str(value.name))) if value is not None else None
        return None if sizes is None or None in sizes else tuple(s or 0 for s in sizes)

    result = shape(node.outputs[0])
    first = shape(node.inputs[0]) if node.inputs else None
    weight = shape(node.inputs[1]) if len(node.inputs) > 1 else None
    if result is None or first is None or weight is None:
        return 0
    if node.op_type == "Conv":
        return math.prod(result) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(weight[1:])
    if node.op_type == "Gemm":
        return math.prod(result) * first[0 if node.attributes.get_int("transA", 0) else 1]
    if node.op_type == "MatMul":
        return math.prod(result) * first[-1]
    if node.op_type in ("LSTM", "GRU", "RNN"):
        state = shape(node.inputs[2]) or ()
        return math.prod(first[:2]) * (math.prod(weight) + math.prod(state))
    return 0
