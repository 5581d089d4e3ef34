"""Shapes of all tensors for the target's input shapes, and multiply-adds from them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.passes import common

from octavo.backends.onnxruntime.propagate import is_less_than_nothing, propagate
from octavo.backends.onnxruntime.structure import bodies_of

Shape = tuple[int | None, ...] | None

SEQUENCES = frozenset(
    {
        "SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SequenceMap",
        "SplitToSequence", "Optional",
    }
)  # fmt: skip
"""Operators whose values are no tensors."""

PASSING = frozenset({"Identity", "If", "Loop", "Scan", "OptionalGetElement"})
"""Operators whose values are what they read, or what their bodies make."""


MASKED = "octavo.masked"
"""A domain that shape inference knows nothing of."""


def infer_types(model: ir.Model) -> None:
    """Fill in the types and shapes of the values of a model, as far as they can be known."""
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    _clear_sequences(model.graph)


def _clear_sequences(graph: ir.Graph) -> None:
    """Take away the type that onnx_ir gives to a sequence, which is that of its elements."""
    for node in graph:
        for body in bodies_of(node):
            _clear_sequences(body)
        if not node.domain and (node.op_type in SEQUENCES or _passes_sequences(node)):
            for value in node.outputs:
                value.type = value.shape = None


def _passes_sequences(node: ir.Node) -> bool:
    if node.op_type not in PASSING:
        return False
    sources = [*node.inputs, *(value for body in bodies_of(node) for value in body.outputs)]
    return any(
        value is not None
        and (producer := value.producer()) is not None
        and producer.op_type in SEQUENCES | PASSING
        and value.type is None
        for value in sources
    )


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
    _infer_carefully(bound)
    propagate(bound.graph)
    for node in bound.graph:
        if bodies_of(node):
            node.outputs[0].meta["macs"] = _macs_of_bodies(node)
    return {
        str(value.name): value
        for node in bound.graph
        for value in (*node.outputs, *node.inputs)
        if value is not None
    }


def _infer_carefully(model: ir.Model) -> None:
    """Infer shapes; those behind a Slice stay unknown where a window finds less than its size.

    Such a window leaves a dimension of less than nothing, and onnx ends the process at a Slice of
    that (1.23, an assertion of the C++ library).
    """
    slices = [node for node in model.graph.all_nodes() if node.op_type == "Slice"]
    if not slices:
        infer_types(model)
        return
    for node in slices:
        node.domain = MASKED
    model.opset_imports[MASKED] = 1
    infer_types(model)
    del model.opset_imports[MASKED]
    lost = [
        value
        for node in model.graph.all_nodes()
        for value in node.outputs
        if is_less_than_nothing(value.shape)
    ]
    for value in lost:
        value.shape = None
    for node in slices:
        node.domain = ""
    if not lost:
        infer_types(model)


def free_shapes(model: ir.Model) -> dict[str, Shape]:
    """Return the shapes that hold for every input, by name; free dimensions are None.

    Args:
        model: left unchanged.
    """
    inferred = model.clone()
    infer_types(inferred)
    return {str(value.name): shape_of(value) for node in inferred.graph for value in node.outputs}


def shape_of(value: ir.Value | None) -> Shape:
    """Return a value's shape, None where it is not known."""
    if value is None or value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _macs_of_bodies(node: ir.Node) -> int:
    """Return the multiply-adds of the larger branch, or of all rounds where their number is known.

    A Loop whose rounds only running tells is counted as one.
    """
    bodies = [sum(macs(inner, {}) for inner in body) for body in bodies_of(node)]
    if node.op_type == "If":
        return max(bodies)
    trips = node.inputs[0].const_value if node.op_type == "Loop" and node.inputs[0] else None
    rounds = 1 if trips is None else int(trips.numpy().item())
    scanned = shape_of(node.inputs[-1]) if node.op_type == "Scan" else None
    return sum(bodies) * ((scanned[0] or 1) if scanned else rounds)


def macs(node: ir.Node, values: Mapping[str, ir.Value]) -> int:
    """Return the multiply-adds of a node, 0 where it has none or shapes are not known.

    Those of a recurrent layer are those of all its steps.

    Args:
        node: the node.
        values: what `infer` returned; values that are not in it tell their shapes themselves.
    """
    if bodies_of(node):
        made = values.get(str(node.outputs[0].name))
        return _macs_of_bodies(node) if made is None else int(made.meta.get("macs", 0))

    def shape(value: ir.Value | None) -> tuple[int, ...] | None:
        sizes = shape_of(values.get(str(value.name), value)) if value is not None else None
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
