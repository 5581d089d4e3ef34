"""Changes to a float model: other constants, new biases, products by constant factors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.base import Bias, Change, Edit, Multiply
from octavo.backends.onnxruntime.channels import bias_behind, linear_of
from octavo.backends.onnxruntime.fold import initializer
from octavo.backends.onnxruntime.load import native, wrap
from octavo.backends.onnxruntime.qdq import Writer
from octavo.errors import ModelError, nearest
from octavo.graph import Linear
from octavo.model import Model


def edit(model: Model, edits: Sequence[Change]) -> Model:
    """Return a model with changes; `Backend.edit`."""
    changed = native(model).canonical.clone()
    for one in edits:
        match one:
            case Edit():
                _replace(changed.graph, one)
            case Bias():
                _set_bias(changed.graph, one)
            case Multiply():
                _multiply(changed.graph, one)
    return wrap(changed, model, optimize=model.optimize)


def constant(known: Mapping[str, ir.Value], name: str) -> Array:
    """Return a constant by name.

    Raises:
        ModelError: there is none.
    """
    value = known.get(name)
    if value is None or value.const_value is None:
        raise ModelError(f"the model has no constant {name!r}{nearest(name, known)}")
    return np.asarray(value.const_value.numpy())


def _replace(graph: ir.Graph, one: Edit) -> None:
    old = constant(graph.initializers, one.weight)
    if old.shape != one.value.shape or old.dtype != one.value.dtype:
        raise ModelError(
            f"{one.weight!r} is {old.dtype}{list(old.shape)}; "
            f"the edit gives {one.value.dtype}{list(one.value.shape)}"
        )
    value = graph.initializers[one.weight]
    value.const_value = ir.tensor(np.array(one.value), name=one.weight)


def _set_bias(graph: ir.Graph, one: Bias) -> None:
    node = _node(graph, one.op)
    linear = linear_of(node, {})
    if linear is None:
        raise ModelError(f"operator {one.op!r} does not multiply by a constant weight")
    channels = _channels(graph, linear)
    if one.value.shape != (channels,) or one.value.dtype != np.float32:
        raise ModelError(
            f"a bias of {one.op!r} is float32[{channels}]; "
            f"the edit gives {one.value.dtype}{list(one.value.shape)}"
        )
    bias = initializer(graph, f"{one.op}.bias", one.value)
    for reader, index in _places(node):
        reader.resize_inputs(max(index + 1, len(reader.inputs)))
        reader.replace_input_with(index, bias)
        return
    _add_behind(graph, node, bias)


def _channels(graph: ir.Graph, linear: Linear) -> int:
    shape = constant(graph.initializers, linear.weight).shape
    shared = linear.groups if linear.output_axis > linear.input_axis else 1
    return int(shape[linear.output_axis]) * shared


def _places(node: ir.Node) -> Iterator[tuple[ir.Node, int]]:
    """Yield the node and the input that hold the bias, nothing for a MatMul that has none."""
    if node.op_type != "MatMul":
        yield node, 2
        return
    found = bias_behind(node)
    if found is not None:
        yield found


def _add_behind(graph: ir.Graph, node: ir.Node, bias: ir.Value) -> None:
    """Add the bias to what a MatMul makes; the sum takes over its name."""
    output = node.outputs[0]
    name, is_output = output.name, output.is_graph_output()
    writer = Writer(graph)
    total = ir.Value(name=name, shape=output.shape, type=output.type)
    made = ir.node("Add", [output, bias], outputs=[total], name=writer.free(f"{node.name}.bias"))
    output.replace_all_uses_with(total, replace_graph_outputs=is_output)
    made.replace_input_with(0, output)
    graph.insert_after(node, made)
    output.name = writer.free(f"{name}.product")


def _multiply(graph: ir.Graph, one: Multiply) -> None:
    source = _tensor(graph, one.tensor)
    readers = {name: _node(graph, name) for name in one.readers}
    for name, reader in readers.items():
        if source not in reader.inputs:
            raise ModelError(f"operator {name!r} does not read {one.tensor!r}")
    writer = Writer(graph)
    factor = initializer(graph, f"{one.tensor}.factor", _broadcast(source, one))
    name = writer.free(f"{one.tensor}.scaled")
    product = ir.Value(name=name, shape=source.shape, type=source.type)
    made = ir.node("Mul", [source, factor], outputs=[product], name=name)
    for reader in readers.values():
        for index, value in enumerate(reader.inputs):
            if value is source:
                reader.replace_input_with(index, product)
    graph.append(made)
    graph.sort()


def _tensor(graph: ir.Graph, name: str) -> ir.Value:
    made = (value for node in graph for value in node.outputs)
    known = {str(value.name): value for value in (*graph.inputs, *made)}
    if name not in known:
        raise ModelError(f"the model has no tensor {name!r}{nearest(name, known)}")
    return known[name]


def _node(graph: ir.Graph, name: str) -> ir.Node:
    known = {str(node.name): node for node in graph}
    if name not in known:
        raise ModelError(f"the model has no operator {name!r}{nearest(name, known)}")
    return known[name]


def _broadcast(source: ir.Value, one: Multiply) -> Array:
    """Return the factors in a shape that multiplies the channels of `source`."""
    rank = None if source.shape is None else len(source.shape)
    behind = -one.axis - 1 if one.axis < 0 else None if rank is None else rank - one.axis - 1
    if behind is None or one.factor.ndim != 1 or one.factor.dtype != np.float32:
        raise ModelError(
            f"factors of {one.tensor!r} are float32, one per channel of an axis that is known; "
            f"got {one.factor.dtype}{list(one.factor.shape)} along axis {one.axis}"
        )
    size = None if source.shape is None else source.shape[len(source.shape) - behind - 1]
    if isinstance(size, int) and size != len(one.factor):
        raise ModelError(f"{one.tensor!r} has {size} channels, the edit {len(one.factor)} factors")
    return one.factor.reshape(-1, *[1] * behind)
