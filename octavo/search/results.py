"""What a model does with its results, behind its last linear operators: it stays in float.

Boxes are decoded, scores squashed and joined with coordinates hundreds of times as large. None of
it costs time worth saving, and one step of 8 bits is a pixel there. It is told by the graph alone:
between linear operators INT8 saves borders, behind the last of them it only loses digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable

from octavo.graph import Graph, Group

LINEAR = frozenset({"conv", "conv_transpose", "matmul", "recurrent"})

EXACT = frozenset({"move", "pool"})
"""Kinds that may stay INT8 behind the last linear operator: they lose nothing by moving integers,
or read so much more than they make that integers are worth having."""

FEATURES = LINEAR | {"pool", "embedding"}
"""Kinds that make features; what a linear group makes of those directly is no trifle."""

TRIFLE = 0.001
"""Share of the multiply-adds below which a linear group may be part of what is done with results,
such as the expectation over 16 bins by which YOLOv8 finds the sides of a box."""

FEW = 64
"""Products in a sum of such a group, at most: a classifier has hundreds."""

CHOOSING = frozenset({"other", "control"})

RESULTS = "it works on results: no linear operator computes with what it makes"


def trifles(graph: Graph) -> set[str]:
    """Return the linear groups that only work on results, by id.

    Their work is a `TRIFLE` of the model's, their sums are of `FEW` products, what they read is
    arithmetic on results too (no features, pooled or not), and no other linear group is reached
    from them.
    """
    small = {group.id for group in graph.groups if _is_trifling(graph, group)}
    reaching = _reaching(graph, lambda reader: _computes(reader) and reader.id not in small)
    return small - reaching


def _computes(group: Group) -> bool:
    """Return whether a group does the work of the model, in whatever precision."""
    return group.role == "compute" or group.kind in LINEAR


def _is_trifling(graph: Graph, group: Group) -> bool:
    if group.kind not in LINEAR or not 0 < group.macs < TRIFLE * graph.macs:
        return False
    origins = [_origin(graph, name) for name in group.inputs]
    if any(origin is None or origin.kind in FEATURES for origin in origins):
        return False
    sizes = [math.prod(size or 1 for size in shape) for shape in _shapes(graph, group.outputs)]
    return bool(sizes) and group.macs <= FEW * sum(sizes)


def _origin(graph: Graph, tensor: str) -> Group | None:
    """Return the group that computed a tensor, before it was moved; None for a model input."""
    made = graph.producer.get(tensor)
    while made is not None and made.kind == "move":
        made = graph.producer.get(made.inputs[0]) if made.inputs else None
    return made


def _shapes(graph: Graph, names: Iterable[str]) -> list[tuple[int | None, ...]]:
    shapes = [graph.tensors[name].shape for name in names]
    return [shape for shape in shapes if shape is not None]


def _reaching(graph: Graph, wanted: Callable[[Group], bool]) -> set[str]:
    """Return ids of the groups whose values reach a wanted group, however they are changed.

    What ranks and chooses among values (TopK, NonMaxSuppression, RoiAlign, a loop), all of kind
    `other` or `control`, does not pass them on.
    """
    found: set[str] = set()
    for group in reversed(graph.groups):
        for reader in graph.readers(group):
            if wanted(reader) or (reader.id in found and reader.kind not in CHOOSING):
                found.add(group.id)
    return found


def on_results(graph: Graph, passed: Collection[str]) -> set[str]:
    """Return the groups between linear ones that only work on results, by id.

    Args:
        graph: the model.
        passed: ids of linear groups that do not count, since they work on results themselves.

    Returns:
        ids of groups of role `follow` that do more than to move integers, and whose values reach
        no linear group.
    """
    reaching = _reaching(graph, lambda reader: _computes(reader) and reader.id not in passed)
    follows = (group for group in graph.groups if group.role == "follow")
    return {g.id for g in follows if g.id not in reaching and g.kind not in EXACT}
