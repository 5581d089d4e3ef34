"""Filling in the fake values of nodes that a rewriting made: saving a program needs them."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from octavo.backends.pytorch.canonical import mode_of
from octavo.backends.pytorch.prepare import PACKERS
from octavo.backends.pytorch.program import Program


def filled(program: Program) -> Program:
    """Return the program with a fake value at every node."""
    if all("val" in node.meta for node in program.graph.nodes if node.op != "output"):
        return program
    changed = program.copy()
    mode = mode_of(changed)
    assert mode is not None
    with mode, torch.no_grad():
        for node in changed.graph.nodes:
            if node.op == "get_attr":
                value = changed.constants[str(node.target)]
                node.meta["val"] = mode.from_tensor(value, static_shapes=True)
            elif node.op == "call_function" and "val" not in node.meta:
                node.meta["val"] = _value(node)
    return changed


def _value(node: fx.Node) -> Any:
    args = fx.map_arg(node.args, lambda one: one.meta["val"])
    if node.target in PACKERS:  # these have no fake form; a linear layer's weight is turned
        linear = node.target is torch.ops.onednn.qlinear_prepack.default
        return torch.empty_like(args[0].t() if linear else args[0])
    kwargs = fx.map_arg(node.kwargs, lambda one: one.meta["val"])
    return node.target(*args, **kwargs)
