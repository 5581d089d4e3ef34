"""Changes to a float program: other constants, new biases, products by constant factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import fx

from octavo.arrays import Array
from octavo.backends.base import Bias, Change, Edit, Multiply
from octavo.backends.pytorch.canonical import attribute_before, free_name
from octavo.backends.pytorch.channels import argument, linear_of
from octavo.backends.pytorch.load import native, wrap
from octavo.backends.pytorch.program import Program, value_of
from octavo.errors import ModelError, nearest
from octavo.model import Model


def edit(model: Model, edits: Sequence[Change]) -> Model:
    """Return a model with changes; `Backend.edit`."""
    program = native(model).program.copy()
    for one in edits:
        match one:
            case Edit():
                _replace(program, one)
            case Bias():
                _set_bias(program, one)
            case Multiply():
                _multiply(program, one)
    program.graph.eliminate_dead_code()
    used = {str(node.target) for node in program.graph.nodes if node.op == "get_attr"}
    kept = {name: value for name, value in program.constants.items() if name in used}
    return wrap(Program(program.graph, kept, program.bounds), model)


def constant(constants: Mapping[str, torch.Tensor], name: str) -> Array:
    """Return a copy of a constant by name.

    Raises:
        ModelError: there is none.
    """
    if name not in constants:
        raise ModelError(f"the model has no constant {name!r}{nearest(name, constants)}")
    return np.array(constants[name].numpy())


def _replace(program: Program, one: Edit) -> None:
    old = constant(program.constants, one.weight)
    if (old.shape, old.dtype) != (one.value.shape, one.value.dtype):
        raise ModelError(
            f"{one.weight!r} is {old.dtype}{list(old.shape)}; "
            f"the edit gives {one.value.dtype}{list(one.value.shape)}"
        )
    assert isinstance(program.constants, dict)
    program.constants[one.weight] = torch.from_numpy(np.array(one.value))


def _set_bias(program: Program, one: Bias) -> None:
    node = _node(program, one.op)
    linear = linear_of(node)
    if linear is None:
        raise ModelError(f"operator {one.op!r} does not multiply by a constant weight")
    channels = program.constants[linear.weight].shape[0]
    if one.value.shape != (channels,) or one.value.dtype != np.float32:
        raise ModelError(
            f"a bias of {one.op!r} is float32[{channels}]; "
            f"the edit gives {one.value.dtype}{list(one.value.shape)}"
        )
    value = torch.from_numpy(np.array(one.value))
    old = argument(node, 2, "bias")
    own = old is not None and len(_readers(program, str(old.target))) == 1
    name = str(old.target) if own else free_name(program, f"{one.op}_bias")
    bias = attribute_before(program, node, name, value)
    node.kwargs = {key: value for key, value in node.kwargs.items() if key != "bias"}
    node.args = (*node.args[:2], bias, *node.args[3:])


def _readers(program: Program, constant: str) -> set[fx.Node]:
    held = (node for node in program.graph.nodes if node.op == "get_attr")
    return {user for node in held if node.target == constant for user in node.users}


def _multiply(program: Program, one: Multiply) -> None:
    source = _tensor(program, one.tensor)
    readers = [_node(program, name) for name in one.readers]
    for reader in readers:
        if source not in reader.all_input_nodes:
            raise ModelError(f"operator {reader.name!r} does not read {one.tensor!r}")
    factor = _broadcast(source, one)
    first = min(readers, key=list(program.graph.nodes).index)
    name = free_name(program, f"{one.tensor}_factor")
    constant = attribute_before(program, first, name, torch.from_numpy(factor))
    with program.graph.inserting_before(first):
        product = program.graph.create_node(
            "call_function",
            torch.ops.aten.mul.Tensor,
            (source, constant),
            name=f"{one.tensor}_scaled",
        )
    product.meta["val"] = value_of(source)
    for reader in readers:
        reader.replace_input_with(source, product)


def _tensor(program: Program, name: str) -> fx.Node:
    known = {node.name: node for node in program.graph.nodes if node.op != "get_attr"}
    if name not in known:
        raise ModelError(f"the model has no tensor {name!r}{nearest(name, known)}")
    return known[name]


def _node(program: Program, name: str) -> fx.Node:
    known = {node.name: node for node in program.graph.nodes if node.op == "call_function"}
    if name not in known:
        raise ModelError(f"the model has no operator {name!r}{nearest(name, known)}")
    return known[name]


def _broadcast(source: fx.Node, one: Multiply) -> Array:
    """Return the factors in a shape that multiplies the channels of `source`."""
    shape = value_of(source).shape
    if one.factor.ndim != 1 or one.factor.dtype != np.float32:
        raise ModelError(
            f"factors of {one.tensor!r} are float32, one per channel; "
            f"got {one.factor.dtype}{list(one.factor.shape)}"
        )
    axis = one.axis % len(shape)
    if isinstance(shape[axis], int) and shape[axis] != len(one.factor):
        raise ModelError(
            f"{one.tensor!r} has {shape[axis]} channels, the edit {len(one.factor)} factors"
        )
    return np.array(one.factor.reshape(-1, *[1] * (len(shape) - axis - 1)))
