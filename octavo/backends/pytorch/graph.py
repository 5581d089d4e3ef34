"""A captured program in neutral terms."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from octavo.backends.pytorch.channels import (
    argument,
    bounds_of,
    is_constant,
    linear_of,
    scaling_of,
)
from octavo.backends.pytorch.kinds import CONVOLUTIONS, kind_of, native_of
from octavo.backends.pytorch.options import TIED, Head, options, unusable
from octavo.backends.pytorch.program import Program, value_of
from octavo.backends.pytorch.shapes import Shapes, dtype_of, macs_of
from octavo.errors import ModelError
from octavo.graph import Graph, Group, Op, Tensor
from octavo.target import Target

FUSED = {
    "conv": frozenset({"relu", "hardtanh", "relu6", "hardswish", "silu"}),
    "linear": frozenset({"relu", "gelu"}),
    "add": frozenset({"relu", "hardtanh", "relu6"}),
}
"""Activations that PyTorch's integer kernels compute with what is before them."""

SHOWN = {3: "stride", 4: "padding", 5: "dilation", 6: "groups"}


@dataclass(frozen=True)
class Chain:
    """The nodes of one group: a main one and what is computed together with it."""

    nodes: tuple[fx.Node, ...]

    @property
    def head(self) -> fx.Node:
        """The main node."""
        return self.nodes[0]

    @property
    def tail(self) -> fx.Node:
        """The node whose value leaves the group."""
        return self.nodes[-1]

    @property
    def inputs(self) -> tuple[fx.Node, ...]:
        """The activations that enter it."""
        read = (one for node in self.nodes for one in tensors_read(node) if one not in self.nodes)
        return tuple(dict.fromkeys(read))


def describe(program: Program, target: Target) -> Graph:
    """Return the graph of a float program for a target; `Backend.graph`.

    Raises:
        ModelError: the program is quantized already.
    """
    if program.is_quantized or program.owners:
        raise ModelError("the model is quantized already; expected the float model it was made of")
    shapes = Shapes(program, target.shapes)
    chains = find_chains(program)
    ops = {node.name: _op(node, shapes) for node in operators(program)}
    groups = tuple(_group(chain, ops, shapes, target) for chain in chains)
    return Graph(
        ops=tuple(ops.values()),
        tensors=_tensors(program, groups, shapes),
        groups=groups,
        inputs=tuple(node.name for node in program.inputs),
        outputs=tuple(dict.fromkeys(node.name for node in program.outputs)),
        fingerprint=fingerprint(program),
    )


def operators(program: Program) -> list[fx.Node]:
    """Return the nodes that make tensors; tuples are seen through, and numbers left out."""
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function" and isinstance(value_of(node), torch.Tensor)
    ]


def tensors_read(node: fx.Node) -> list[fx.Node]:
    """Return the nodes whose tensors a node computes with, constants left out."""
    found: list[fx.Node] = []
    for one in node.all_input_nodes:
        if isinstance(value_of(one), torch.Tensor):
            found += [] if is_constant(one) else [one]
        elif isinstance(value_of(one), (list, tuple)):
            found += tensors_read(one)
    return list(dict.fromkeys(found))


def constants_read(node: fx.Node) -> list[str]:
    """Return the names of the float constants that a node reads, in the order of arguments."""
    source: Any = node.args[0] if node.target is operator.getitem else node
    found = (one for one in source.all_input_nodes if is_constant(one))
    return [str(one.target) for one in found if value_of(one).dtype.is_floating_point]


def find_chains(program: Program) -> list[Chain]:
    """Partition the operators into groups, in the order of their main operators."""
    outputs, taken = set(program.outputs), set[fx.Node]()
    places = {node: place for place, node in enumerate(program.graph.nodes)}
    chains = []
    for node in operators(program):
        if node not in taken:
            nodes = _absorb(node, outputs, taken, places)
            taken.update(nodes)
            chains.append(Chain(tuple(nodes)))
    return chains


def _absorb(
    node: fx.Node, outputs: set[fx.Node], taken: set[fx.Node], places: Mapping[fx.Node, int]
) -> list[fx.Node]:
    native = native_of(node)
    nodes = [node]

    def extend(fits: Callable[[fx.Node], bool]) -> bool:
        last = nodes[-1]
        readers = list(last.users)
        if len(readers) != 1 or last in outputs or readers[0] in taken or not fits(readers[0]):
            return False
        nodes.append(readers[0])
        return True

    if native in CONVOLUTIONS - {"conv3d"} and unusable(node) is None:
        if extend(lambda reader: _adds(reader, nodes[-1], places)):
            extend(lambda reader: native_of(reader) == "relu")
        else:
            extend(lambda reader: _activates(reader, "conv"))
    elif native in ("linear", "add"):
        extend(lambda reader: _activates(reader, native))
    return nodes


def _activates(node: fx.Node, behind: str) -> bool:
    if node.op != "call_function" or native_of(node) not in FUSED[behind]:
        return False
    return native_of(node) != "hardtanh" or bounds_of(node)[0] <= 0 <= bounds_of(node)[1]


def _adds(node: fx.Node, made: fx.Node, places: Mapping[fx.Node, int]) -> bool:
    """Return whether a node adds another tensor of the same shape to what a convolution makes.

    The other one is made before the convolution, so that groups read what earlier ones make.
    """
    if node.op != "call_function" or native_of(node) != "add" or node.kwargs:
        return False
    others = [one for one in node.args if one is not made]
    if len(others) != 1 or not isinstance(others[0], fx.Node) or is_constant(others[0]):
        return False
    value = value_of(others[0])
    return (
        places[others[0]] < places[made]
        and isinstance(value, torch.Tensor)
        and value.dtype == torch.float32
        and value.shape == value_of(made).shape
    )


def _op(node: fx.Node, shapes: Shapes) -> Op:
    shown = SHOWN.items() if native_of(node) in CONVOLUTIONS else ()
    return Op(
        name=node.name,
        kind=kind_of(_source(node)),
        native=native_of(node),
        inputs=tuple(one.name for one in tensors_read(node)),
        outputs=(node.name,),
        weights=tuple(dict.fromkeys(constants_read(node))),
        macs=macs_of(node, shapes),
        attributes={name: value for i, name in shown if (value := argument(node, i, name))},
        linear=linear_of(node),
        scaling=scaling_of(node, shapes),
    )


def _source(node: fx.Node) -> fx.Node:
    first = node.args[0] if node.args else None
    return first if node.target is operator.getitem and isinstance(first, fx.Node) else node


def _group(chain: Chain, ops: Mapping[str, Op], shapes: Shapes, target: Target) -> Group:
    names = tuple(node.name for node in chain.nodes)
    inputs = chain.inputs
    dtypes = frozenset(dtype_of(node) for node in (*inputs, chain.tail))
    role, capabilities = options(Head(chain.nodes, len(inputs), 1, dtypes), target)
    return Group(
        id=names[0],
        kind=ops[names[0]].kind,
        role=role,
        ops=names,
        inputs=tuple(node.name for node in inputs),
        outputs=(chain.tail.name,),
        options=capabilities,
        pattern="+".join(_pattern(node, shapes) for node in chain.nodes),
        macs=sum(ops[name].macs for name in names),
    )


def _pattern(node: fx.Node, shapes: Shapes) -> str:
    def one(value: Any) -> str:
        if not isinstance(value, fx.Node):
            return str(value)
        known = isinstance(value_of(value), torch.Tensor)
        return "x".join(map(str, shapes.of(value))) if known else "?"

    return f"{native_of(node)}({','.join(map(one, _flat(node)))})"


def _flat(node: fx.Node) -> Iterable[Any]:
    for value in (*node.args, *node.kwargs.values()):
        yield from value if isinstance(value, (list, tuple)) else (value,)


def _tensors(program: Program, groups: Sequence[Group], shapes: Shapes) -> dict[str, Tensor]:
    made = operators(program)
    used = dict.fromkeys(node for one in made for node in (*tensors_read(one), one))
    natives = {node.name: native_of(node) for node in made}
    ties = _ties(group for group in groups if group.formats and natives[group.id] in TIED)
    return {node.name: replace(_tensor(node, shapes), tie=ties.get(node.name)) for node in used}


def _tensor(node: fx.Node, shapes: Shapes) -> Tensor:
    shape = shapes.of(node)
    axis = None if len(shape) < 2 else (1 if len(shape) > 3 else len(shape) - 1)
    return Tensor(name=node.name, dtype=dtype_of(node), shape=shape, channel_axis=axis)


def _ties(groups: Iterable[Group]) -> dict[str, str]:
    """Return the tie of every tensor that a moving group reads or makes, named by its first."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for group in groups:
        names = (*group.inputs, *group.outputs)
        for other in names[1:]:
            parent[root(other)] = root(names[0])
    return {name: root(name) for name in parent}


def fingerprint(program: Program) -> str:
    """Return a SHA-256 over operators, names, arguments and constants."""
    digest = hashlib.sha256()
    for node in program.graph.nodes:
        if node.op != "get_attr":
            arguments = fx.map_arg((node.args, node.kwargs), _identity)
            digest.update(repr((node.op, node.name, native_of(node), arguments)).encode())
    for name in sorted(program.constants):
        tensor = program.constants[name].contiguous()
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _identity(node: fx.Node) -> str:
    return str(node.target if node.op == "get_attr" else node.name)
