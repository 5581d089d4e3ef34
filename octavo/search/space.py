"""What a search may choose from: the formats of every group, and why others have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from octavo.graph import Graph, Group
from octavo.plan import FP32, Compute, Format, Plan, Recipe
from octavo.search.initial import COMPUTES, Approach, able, match
from octavo.search.results import RESULTS, on_results, trifles

Variant: TypeAlias = tuple[str, tuple[bool, ...], tuple[bool, ...]]
"""How a group computes, which of its inputs it quantizes, and which of its outputs."""


def variant(chosen: Format) -> Variant:
    """Return what of a format decides how long a group takes."""
    return (
        chosen.compute,
        tuple(scheme is not None for scheme in chosen.inputs),
        tuple(scheme is not None for scheme in chosen.outputs),
    )


@dataclass(frozen=True)
class Space:
    """The formats that every group may take.

    Attributes:
        graph: the model.
        choices: formats by group id, FP32 among them where the group may stay float; groups that
            are not named stay float.
        reasons: why groups have no choice, by group id.
    """

    graph: Graph
    choices: Mapping[str, tuple[Format, ...]]
    reasons: Mapping[str, str]

    @cached_property
    def variants(self) -> Mapping[str, frozenset[str]]:
        """The ids of the groups of each pattern that have a choice."""
        found: dict[str, set[str]] = {}
        for name in self.choices:
            found.setdefault(self.graph.group_by_id[name].pattern, set()).add(name)
        return {pattern: frozenset(names) for pattern, names in found.items()}

    def plan(self, formats: Mapping[str, Format], recipe: Recipe | None = None) -> Plan:
        """Return a plan of the formats that are not float, in the order of the groups."""
        kept = {
            group.id: formats[group.id]
            for group in self.graph.groups
            if group.id in formats and not formats[group.id].is_float
        }
        return Plan(formats=kept, recipe=recipe or Recipe())

    def reasons_for(self, plan: Plan, why: str) -> dict[str, str]:
        """Return why every group that `plan` leaves float is, with `why` for those that could."""
        return {
            group.id: self.reasons.get(group.id, why)
            for group in self.graph.groups
            if plan.format(group.id).is_float
        }


def make_space(
    graph: Graph,
    *,
    approaches: Iterable[Approach] = ("static", "dynamic"),
    per_channel: bool = True,
    float_patterns: Iterable[str] = (),
    int8_patterns: Iterable[str] = (),
    refused: Mapping[str, str] | None = None,
) -> Space:
    """Return the formats that a search may choose from.

    Of the formats of a group that differ in how numbers are rounded alone, the best is kept: one
    weight scale per channel rather than one for all, unless `per_channel` is False.

    Args:
        graph: the model.
        approaches: what may be chosen: ranges fixed beforehand, or found at run time.
        per_channel: a weight scale per channel where the backend offers it.
        float_patterns: shell patterns of groups or operators that stay float.
        int8_patterns: shell patterns that have to be quantized; they win over `float_patterns`.
        refused: reasons by group id, for groups that the caller keeps in float.

    Raises:
        UsageError: a pattern matches nothing, or an INT8 pattern only groups without INT8 form.
    """
    computes = {compute for one in approaches for compute in COMPUTES[one]}
    forced = able(graph, match(graph, tuple(int8_patterns)))
    reasons = {
        name: f"kept in float by the pattern {pattern!r}"
        for name, pattern in match(graph, tuple(float_patterns)).items()
    }
    reasons |= refused or {}
    passed = trifles(graph)
    for name in passed | on_results(graph, passed):
        reasons.setdefault(name, RESULTS)
    choices: dict[str, tuple[Format, ...]] = {}
    for group in graph.groups:
        offered = _offered(group, computes, per_channel, everything=group.id in forced)
        if group.id in forced:
            choices[group.id] = offered
        elif group.id not in reasons and offered:
            choices[group.id] = (FP32, *offered)
        elif group.id not in reasons:
            reasons[group.id] = _why_not(group, computes)
    return Space(graph, choices, {k: why for k, why in reasons.items() if k not in choices})


def _offered(
    group: Group, computes: Iterable[Compute], per_channel: bool, *, everything: bool
) -> tuple[Format, ...]:
    """Return one format of each variant, the best of those that compute as asked."""
    wanted = set(computes)
    formats = [one for one in group.formats if one.compute in wanted]
    if not formats and group.role == "compute":  # a recurrent layer has dynamic ranges only
        formats = [one for one in group.formats if one.compute == "int8_dynamic"]
    if not formats and everything:
        formats = list(group.formats)
    if not per_channel:  # those with one scale come first, where there are any
        formats.sort(key=lambda one: one.weight is not None and one.weight.axis is not None)
    found: dict[Variant, Format] = {}
    for one in formats:
        found.setdefault(variant(one), one)
    return tuple(found.values())


def _why_not(group: Group, computes: Iterable[Compute]) -> str:
    wanted = set(computes)
    told = (one.refused for one in group.options if one.format.compute in wanted)
    reason = next((text for text in told if text), None) or group.refusal
    return reason or "dynamic quantization keeps values between matrix products in float"
