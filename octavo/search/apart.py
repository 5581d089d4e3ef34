"""Joins of tensors whose ranges are far apart: one range for all takes the narrow ones' digits.

A concat in INT8 gives all that it joins one range. What reads the result has to live with it, in
INT8 at least; but whoever else reads a narrow tensor would see it in a few steps. Known only when
ranges are measured, so a plan is mended after calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from octavo.graph import Graph, Group
from octavo.plan import Plan, Range

RATIO = 8.0
"""How many times wider a range may become by a tie: three of eight bits."""


def far_apart(graph: Graph, plan: Plan, ranges: Mapping[str, Range]) -> dict[str, str]:
    """Return the INT8 joins that cost other readers of their inputs too much, with the reason.

    Args:
        graph: the model.
        plan: what is quantized.
        ranges: each tensor's own range, not united with those it is tied to.
    """
    found = {}
    for group in graph.groups:
        if group.kind == "concat" and plan.format(group.id).compute == "int8":
            reason = _reason(graph, plan, group, ranges)
            if reason is not None:
                found[group.id] = reason
    return found


def _reason(graph: Graph, plan: Plan, group: Group, ranges: Mapping[str, Range]) -> str | None:
    tie = graph.tensors[group.outputs[0]].tie
    names = [name for name in group.inputs if name in ranges and graph.tensors[name].tie == tie]
    spans = {name: ranges[name].high - ranges[name].low for name in names}
    widest = max(spans.values(), default=0.0)
    # a span of zero is a constant, which has nothing to lose
    narrow = {name: span for name, span in spans.items() if 0 < span * RATIO < widest}
    if tie is None or not narrow:
        return None
    others = {name: form for name, form in plan.formats.items() if name != group.id}
    alone = graph.planned(replace(plan, formats=others))
    shared = [name for name in narrow if _is_read_elsewhere(alone, group, name)]
    if not shared:
        return None
    name = min(shared, key=lambda one: narrow[one])
    times = widest / narrow[name]
    return f"it would widen the range of {name!r} {times:.0f} times, which others read too"


def _is_read_elsewhere(graph: Graph, group: Group, tensor: str) -> bool:
    """Return whether more than the join reads a tensor, or one that it shares its range with."""
    same = set(graph.ties.get(graph.tensors[tensor].tie or "", (tensor,)))
    readers = [reader for name in same for reader in graph.consumers.get(name, ())]
    moved = (group.id, *(reader.id for reader in readers if same.issuperset(reader.outputs)))
    beyond = any(reader.id not in moved for reader in readers)
    return beyond or not same.isdisjoint(graph.outputs)
