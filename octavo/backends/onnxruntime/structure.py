"""Copies of a model that are made whole of its functions, or by functions of onnx."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir
from onnx import inliner
from onnx_ir.passes import common

HEAVY = 1000  # bytes; smaller constants are shapes and indices, which such functions look at


def change_structure(
    model: ir.Model, change: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> ir.Model:
    """Return what a function makes of a model, which it sees without its large constants.

    A protobuf message holds less than 2 GB, whatever a model holds, and copies take time.

    Args:
        model: left unchanged.
        change: gets large constants as inputs of the graph; it must keep their names.
    """
    bare = model.clone()
    heavy: dict[str, ir.TensorProtocol] = {}
    for name, value in list(bare.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > HEAVY:
            heavy[name] = tensor
            del bare.graph.initializers[name]
            value.const_value = None
            if not value.is_graph_input():
                value.shape, value.dtype = tensor.shape, tensor.dtype
                bare.graph.inputs.append(value)
    changed = ir.from_proto(change(ir.to_proto(bare)))
    for value in [value for value in changed.graph.inputs if value.name in heavy]:
        changed.graph.inputs.remove(value)
        value.const_value = heavy[str(value.name)]
        changed.graph.register_initializer(value)
    return changed


def inlined(model: ir.Model) -> ir.Model:
    """Return a copy of a model whose functions took the place of their calls.

    Functions of another opset than the model's are converted to it.
    """
    changed = model.clone()
    if not model.functions:
        return changed
    if all(_fits(function, model) for function in model.functions.values()):
        common.InlinePass()(changed)
        return changed
    return change_structure(model, _inline_and_convert)


def _inline_and_convert(proto: onnx.ModelProto) -> onnx.ModelProto:
    typed = onnx.shape_inference.infer_shapes(proto)  # the converter asks for types
    return inliner.inline_local_functions(typed, convert_version=True)


def _fits(function: ir.Function, model: ir.Model) -> bool:
    versions = model.opset_imports
    return all(versions.get(key, value) == value for key, value in function.opset_imports.items())


def bodies_of(node: ir.Node) -> list[ir.Graph]:
    """Return the graphs that an If, a Loop or a Scan runs."""
    found: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            found.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            found.extend(attribute.as_graphs())
    return found
