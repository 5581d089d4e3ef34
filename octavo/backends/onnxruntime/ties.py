"""Which tensors share one range: those between which values move without being rescaled."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.kinds import SATURATING, TIED, only_moves
from octavo.graph import Group

Bounds = tuple[float, float]
FREE: Bounds = (-np.inf, np.inf)


def find_ties(graph: ir.Graph, groups: Iterable[Group]) -> dict[str, str]:
    """Return a tie for every tensor that shares its range, named by its first tensor.

    What moves values ties its input and outputs. A concat ties what it joins, so that it copies
    integers instead of rescaling them (80 us become 23 for 1 MB); but not where an activation keeps
    only some of its inputs within bounds: in a wider range the quantizer could not stand for it.

    Args:
        graph: the graph.
        groups: those of its groups that can be quantized.
    """
    nodes = {str(node.name): node for node in graph}
    bounds = _bounds_of_values(graph)
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for group in groups:
        names = (*group.inputs, *group.outputs)
        joins = group.kind == "concat" and len({bounds.get(name, FREE) for name in names}) == 1
        if joins or nodes[group.id].op_type in TIED:
            for other in names[1:]:
                parent[root(other)] = root(names[0])
    return {name: root(name) for name in parent}


def _bounds_of_values(graph: ir.Graph) -> dict[str, Bounds]:
    """Return the interval that an activation keeps each value in; values without one are absent."""
    found: dict[str, Bounds] = {}
    for node in graph:
        made = FREE
        if node.op_type in SATURATING:
            made = saturation_bounds(node)
        elif _keeps_bounds(node):
            read = node.inputs if node.op_type == "Concat" else node.inputs[:1]
            bounds = {found.get(str(value.name), FREE) for value in read if value is not None}
            made = bounds.pop() if len(bounds) == 1 else FREE
        found.update({str(value.name): made for value in node.outputs if made != FREE})
    return found


def _keeps_bounds(node: ir.Node) -> bool:
    """Return whether all that a node makes lies between values that it reads."""
    if node.op_type == "AveragePool":
        return not node.attributes.get_int("count_include_pad", 0)
    return only_moves(node) or (node.op_type in ("GlobalAveragePool", "Concat") and not node.domain)


def saturation_bounds(node: ir.Node) -> Bounds:
    """Return the interval that a Relu, or a Clip with constant bounds, keeps values in."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    found = list(FREE)
    for index, value in enumerate(node.inputs[1:3]):
        if value is not None and value.const_value is not None:
            found[index] = float(value.const_value.numpy().item())
    return found[0], found[1]


def holds_zero(node: ir.Node) -> bool:
    """Return whether zero lies within the bounds of a Relu or Clip."""
    low, high = saturation_bounds(node)
    return low <= 0 <= high
