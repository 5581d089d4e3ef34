"""The plan to start from: what pays by itself in INT8, and what keeps INT8 between those."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from octavo.errors import UsageError, nearest
from octavo.graph import Graph, Group
from octavo.plan import Compute, Format, Plan, Recipe, Scheme
from octavo.search.results import RESULTS, on_results, trifles

Approach: TypeAlias = Literal["static", "dynamic"]

COMPUTES: Mapping[Approach, tuple[Compute, ...]] = {
    "static": ("int8", "int8_weight"),
    "dynamic": ("int8_dynamic", "int8_weight"),
}


@dataclass(frozen=True)
class InitialPlan:
    """A plan with a reason for every group that it leaves in float.

    Attributes:
        plan: the plan.
        reasons: why, by group id.
    """

    plan: Plan
    reasons: Mapping[str, str]


def initial_plan(
    graph: Graph,
    *,
    approach: Approach = "static",
    recipe: Recipe | None = None,
    per_channel: bool = True,
    float_patterns: Sequence[str] = (),
    int8_patterns: Sequence[str] = (),
    refused: Mapping[str, str] | None = None,
) -> InitialPlan:
    """Quantize every group that gains by itself, and what lies between two of them.

    Args:
        graph: the model.
        approach: `static` uses calibrated ranges, `dynamic` finds activation ranges at run time; a
            group that gains and has no static form takes its dynamic one in both.
        recipe: how ranges are made and what is corrected; goes into the plan.
        per_channel: a weight scale per channel where the backend offers it.
        float_patterns: shell patterns of groups or operators that stay float.
        int8_patterns: shell patterns that are quantized even where it does not pay; they win over
            `float_patterns`. A group without a form of the approach takes its best other one.
        refused: reasons by group id, for groups that the caller keeps in float.

    Raises:
        UsageError: a pattern matches nothing, or an INT8 pattern only groups without INT8 form.
    """
    kept = match(graph, float_patterns)
    forced = able(graph, match(graph, int8_patterns))
    reasons = {name: f"kept in float by the pattern {pattern!r}" for name, pattern in kept.items()}
    reasons.update(refused or {})
    for name in forced:
        reasons.pop(name, None)
    _leave_results(graph, forced, reasons)
    offered = {
        group.id: _offered(group, COMPUTES[approach], per_channel, everything=group.id in forced)
        for group in graph.groups
    }
    for group in graph.groups:
        if not offered[group.id] and group.id not in reasons:
            reasons[group.id] = why_not(group, COMPUTES[approach])
    return settled(graph, offered, forced, reasons, recipe)


def settled(
    graph: Graph,
    offered: Mapping[str, Sequence[Format]],
    forced: Collection[str],
    reasons: Mapping[str, str],
    recipe: Recipe | None = None,
) -> InitialPlan:
    """Quantize every group that gains of those that may be, and what lies between two of them.

    Args:
        graph: the model.
        offered: formats by group id, best first; they differ in what they make of the outputs.
        forced: ids of groups that are quantized whatever is around them.
        reasons: why other groups stay float, by id: these, and those that are offered nothing.
        recipe: goes into the plan; its ranges only where the plan has ranges.
    """
    chooser = _Chooser(graph, offered, frozenset(forced), dict(reasons))
    chooser.run()
    ranged = any(chosen.compute == "int8" for chosen in chooser.chosen.values())
    asked = recipe or Recipe()
    used = asked if ranged else Recipe(corrections=asked.corrections)
    plan = Plan(formats=chooser.chosen, recipe=used)
    return InitialPlan(plan=plan, reasons=chooser.reasons)


def match(graph: Graph, patterns: Sequence[str]) -> dict[str, str]:
    """Return the pattern that each matched group matches, by group id.

    Raises:
        UsageError: a pattern matches no group and no operator.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        names = [
            group.id
            for group in graph.groups
            if any(_matches(name, pattern) for name in (group.id, *group.ops))
        ]
        if not names:
            hint = nearest(pattern.strip("*"), graph.op_by_name)
            raise UsageError(f"the pattern {pattern!r} matches no group of the model{hint}")
        found.update(dict.fromkeys(names, pattern))
    return found


def _matches(name: str, pattern: str) -> bool:
    """Return whether a name fits a pattern of * and ?; a bracket stands for itself."""
    return name == pattern or fnmatchcase(name, pattern.replace("[", "[[]"))


def wanted_tensors(graph: Graph, plans: Iterable[Plan]) -> dict[str, Scheme]:
    """Return the activation tensors whose ranges the plans need, with the scheme they become."""
    wanted: dict[str, Scheme] = {}
    for plan in plans:
        for group in graph.groups:
            chosen = plan.format(group.id)
            if chosen.compute != "int8":
                continue
            names = (*group.inputs, *group.outputs)
            for name, scheme in zip(names, (*chosen.inputs, *chosen.outputs), strict=True):
                if scheme is not None and (name not in wanted or not scheme.symmetric):
                    wanted[name] = scheme
    return wanted


def able(graph: Graph, forced: Mapping[str, str]) -> dict[str, str]:
    """Return the forced groups that have an INT8 form.

    Raises:
        UsageError: no group that a pattern matches has one.
    """
    able = {name: p for name, p in forced.items() if graph.group_by_id[name].formats}
    for name, pattern in forced.items():
        if pattern not in able.values():
            raise UsageError(
                f"the pattern {pattern!r} asks for INT8 in {name!r}, which has no such form: "
                f"{graph.group_by_id[name].refusal}"
            )
    return able


def _leave_results(graph: Graph, forced: Collection[str], reasons: dict[str, str]) -> None:
    """Keep in float what only works on results."""
    passed = trifles(graph)
    for name in passed | on_results(graph, passed):
        if name not in forced:
            reasons.setdefault(name, RESULTS)


def _offered(
    group: Group, computes: Collection[Compute], per_channel: bool, *, everything: bool
) -> list[Format]:
    formats = able_formats(group, computes, everything=everything)
    if per_channel:
        return formats
    plain = [replace(f, weight=f.weight.per_tensor) if f.weight else f for f in formats]
    return [f for f in dict.fromkeys(plain) if f in group.formats] or formats


def able_formats(group: Group, computes: Collection[Compute], *, everything: bool) -> list[Format]:
    """Return the formats of a group that compute as asked, best first.

    Args:
        group: the group.
        computes: how it may compute; a group that gains and cannot takes its dynamic formats.
        everything: whether a group that cannot takes any of its formats.
    """
    formats = [one for one in group.formats if one.compute in computes]
    if not formats and group.role == "compute":  # a recurrent layer has dynamic ranges only
        formats = [one for one in group.formats if one.compute == "int8_dynamic"]
    return list(group.formats) if not formats and everything else formats


def why_not(group: Group, computes: Collection[Compute]) -> str:
    """Return why a group has no format that computes as asked."""
    others = [one.refused for one in group.options if one.format.compute in computes]
    reason = next((text for text in others if text), None) or group.refusal
    return reason or "dynamic quantization keeps values between matrix products in float"


@dataclass
class _Chooser:
    """Chooses a format per group; `reasons` holds the groups that stay float."""

    graph: Graph
    offered: Mapping[str, Sequence[Format]]
    forced: frozenset[str]
    reasons: dict[str, str]
    chosen: dict[str, Format] = field(default_factory=dict)

    def run(self) -> None:
        """Fill `chosen` and `reasons`."""
        active: set[str] = set()
        for group in self.graph.groups:
            if self._starts(group, active):
                active.add(group.id)
        for group in reversed(self.graph.groups):
            if group.id in active and self._is_dead_end(group, active):
                active.discard(group.id)
                self.reasons[group.id] = "what it makes is only read in float"
        for group in self.graph.groups:
            if group.id in active:
                self.chosen[group.id] = self._variant(group, self.offered[group.id], active)

    def _starts(self, group: Group, active: set[str]) -> bool:
        """Return whether a group is quantized, looking at what comes before it."""
        if group.id in self.reasons or not self.offered.get(group.id):
            return False
        if group.role == "compute" or group.id in self.forced:
            return True
        if self._integer_share(group, active) >= 0.5:
            return True
        self.reasons[group.id] = "what it reads is float"
        return False

    def _integer_share(self, group: Group, active: set[str]) -> float:
        """Return the share of the values it reads that come out of INT8 groups."""
        sizes = {name: self._size(name) for name in group.inputs}
        integer = 0.0
        for name, size in sizes.items():
            producer = self.graph.producer.get(name)
            if producer is not None and producer.id in active:
                first = self.offered[producer.id][0]
                index = producer.outputs.index(name)
                integer += size if first.outputs[index] is not None else 0.0
        return integer / max(1.0, sum(sizes.values()))

    def _size(self, tensor: str) -> float:
        shape = self.graph.tensors[tensor].shape
        return float(math.prod(size or 1 for size in shape)) if shape else 1.0

    def _is_dead_end(self, group: Group, active: set[str]) -> bool:
        """Return whether INT8 ends here without having saved anything."""
        if group.role == "compute" or group.id in self.forced:
            return False
        if any(reader.id in active for reader in self.graph.readers(group)):
            return False
        read = sum(self._size(name) for name in group.inputs)
        return sum(self._size(name) for name in group.outputs) * 2 > read

    def _variant(self, group: Group, formats: Sequence[Format], active: set[str]) -> Format:
        """Return the best format, with float outputs where nobody reads integers."""
        best = formats[0]
        if all(scheme is None for scheme in best.outputs):
            return best
        if any(reader.id in active for reader in self.graph.readers(group)):
            return best
        floating = replace(best, outputs=(None,) * len(best.outputs))
        return floating if floating in formats else best
