"""Programs without operators that write into what they read."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch.export import ExportedProgram

from octavo.backends.pytorch.kinds import MOVES, NOTHING, native_of
from octavo.backends.pytorch.program import Program, lifted, unlifted


def functional(exported: ExportedProgram) -> Program:
    """Return an exported program as a function of its inputs; the given one is not changed.

    `torch.export` could do so for all operators; it takes as long as to capture the model, and an
    activation in place, the common case, needs none of it.
    """
    program = unlifted(exported)
    _drop(program.graph)
    writers = [node for node in program.graph.nodes if writes(node)]
    if not all(map(_is_plain, writers)):
        return unlifted(lifted(program).run_decompositions({}))
    for node in writers:
        _write_out(program.graph, node)
    return program


def _drop(graph: fx.Graph) -> None:
    """Leave out what returns its input: `torch.export` takes it for a copy, and it is none."""
    for node in list(graph.nodes):
        if node.op == "call_function" and native_of(node) in NOTHING:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def writes(node: fx.Node) -> bool:
    """Return whether an operator writes into what it reads."""
    return isinstance(node.target, OpOverload) and bool(node.target._schema.is_mutable)


def _pure(node: fx.Node) -> OpOverload | None:
    """Return the operator that makes a new tensor of what a node writes in place."""
    name = native_of(node)
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
    overload = getattr(packet, str(node.target._overloadname), None)
    return overload if name.endswith("_") and isinstance(overload, OpOverload) else None


def _is_plain(node: fx.Node) -> bool:
    """Return whether nothing but a node's own input shares the memory that it writes into."""
    source: Any = node.args[0]
    if _pure(node) is None or not isinstance(source, fx.Node) or source.op != "call_function":
        return False
    return not any(_is_view(one) for one in (source, *source.users))


def _is_view(node: fx.Node) -> bool:
    return native_of(node) in MOVES | {"to", "getitem"} or node.op == "get_attr"


def _write_out(graph: fx.Graph, node: fx.Node) -> None:
    source: Any = node.args[0]
    node.target = _pure(node)
    later = set()
    following = node.next
    while following.op != "root":
        later.add(following)
        following = following.next
    source.replace_all_uses_with(node, delete_user_cb=lambda user: user in later)
