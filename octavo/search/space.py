"""What a search may choose from: the formats of every group, and why others have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from octavo.graph import Graph
from octavo.plan import FP32, Format, Plan, Recipe
from octavo.search.initial import (
    COMPUTES,
    Approach,
    able,
    able_formats,
    match,
    settled,
    why_not,
)
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
        choices: formats by group id, the best first among those that are not float, with FP32 where
            the group may stay float; groups that are not named stay float.
        reasons: why groups have no choice, by group id.
    """

    graph: Graph
    choices: Mapping[str, tuple[Format, ...]]
    reasons: Mapping[str, str]

    @cached_property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the formats of every group that has a choice: the best first, float last.

        Formats that differ in what they make of their outputs share a name.
        """
        return {
            group: tuple(dict.fromkeys(one.name for one in sorted(formats, key=_is_float)))
            for group, formats in self.choices.items()
        }

    @cached_property
    def decided(self) -> Mapping[str, tuple[str, ...]]:
        """The names for the groups that a choice decides on, the others follow them.

        Those are the groups of role `compute` that may be quantized and may stay float.
        """
        return {
            group: names
            for group, names in self.names.items()
            if self.graph.group_by_id[group].role == "compute"
            and FP32 in self.choices[group]
            and len(names) > 1
        }

    @property
    def everything(self) -> dict[str, str]:
        """The choice that quantizes every group by its best format."""
        return {group: names[0] for group, names in self.decided.items()}

    def plan(self, formats: Mapping[str, Format], recipe: Recipe | None = None) -> Plan:
        """Return a plan of the formats that are not float, in the order of the groups."""
        kept = {
            group.id: formats[group.id]
            for group in self.graph.groups
            if group.id in formats and not formats[group.id].is_float
        }
        return Plan(formats=kept, recipe=recipe or Recipe())

    def follow(self, choice: Mapping[str, str], recipe: Recipe | None = None) -> Plan:
        """Return the plan of a choice: what lies between two quantized groups is quantized too.

        Args:
            choice: the name of a format by group id, of those in `decided`; a group that is not
                named takes its best one.
            recipe: goes into the plan; its ranges only where the plan has ranges.

        Raises:
            ValueError: a group or a name is not one of those.
        """
        for group, name in choice.items():
            if name not in self.decided.get(group, ()):
                raise ValueError(
                    f"{name!r} is no choice for {group!r}; expected one of "
                    f"{self.decided.get(group, ())}"
                )
        chosen = {group: names[0] for group, names in self.names.items()} | dict(choice)
        offered = {
            group: [one for one in formats if one.name == chosen[group] and not one.is_float]
            for group, formats in self.choices.items()
        }
        forced = [group for group, formats in self.choices.items() if FP32 not in formats]
        return settled(self.graph, offered, forced, self.reasons, recipe).plan

    def without(self, refused: Mapping[str, str]) -> Space:
        """Return the space in which some groups stay float, for the reasons given by id."""
        kept = {group: one for group, one in self.choices.items() if group not in refused}
        return replace(self, choices=kept, reasons={**self.reasons, **refused})

    def float_share(self, choice: Mapping[str, str]) -> float:
        """Return the share of the multiply-adds of the groups decided on that stays in float."""
        work = {name: max(1, self.graph.group_by_id[name].macs) for name in self.decided}
        left = sum(macs for name, macs in work.items() if choice.get(name) == FP32.name)
        return left / max(1, sum(work.values()))

    def reasons_for(self, plan: Plan, why: str) -> dict[str, str]:
        """Return why every group that `plan` leaves float is, with `why` for those that could."""
        return {
            group.id: self.reasons.get(group.id, why)
            for group in self.graph.groups
            if plan.format(group.id).is_float
        }


def _is_float(one: Format) -> bool:
    return one.is_float


def make_space(
    graph: Graph,
    *,
    approaches: Iterable[Approach] = ("static", "dynamic"),
    per_channel: bool = True,
    per_tensor: bool = False,
    float_patterns: Iterable[str] = (),
    int8_patterns: Iterable[str] = (),
    refused: Mapping[str, str] | None = None,
) -> Space:
    """Return the formats that a search may choose from.

    Of the formats of a group that differ in how numbers are rounded alone, the best is kept: one
    weight scale per channel rather than one for all, unless `per_channel` is False. They take the
    same time; a search that is to compare them asks for both.

    Args:
        graph: the model.
        approaches: what may be chosen: ranges fixed beforehand, or found at run time.
        per_channel: a weight scale per channel where the backend offers it.
        per_tensor: beside each format with those, the one with a scale for the whole weight.
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
        able_to = able_formats(group, computes, everything=group.id in forced)
        offered = _offered(able_to, per_channel=per_channel, both=per_channel and per_tensor)
        if group.id in forced:
            choices[group.id] = offered
        elif group.id not in reasons and offered:
            choices[group.id] = (FP32, *offered)
        elif group.id not in reasons:
            reasons[group.id] = why_not(group, computes)
    return Space(graph, choices, {k: why for k, why in reasons.items() if k not in choices})


def _offered(formats: list[Format], *, per_channel: bool, both: bool) -> tuple[Format, ...]:
    """Return one format of each variant, the best; two where both kinds of scales are asked for."""
    if not per_channel:  # those with one scale come first, where there are any
        formats = sorted(formats, key=_has_axis)
    found: dict[tuple[Variant, str], Format] = {}
    for one in formats:
        found.setdefault((variant(one), one.name if both else ""), one)
    return tuple(found.values())


def _has_axis(one: Format) -> bool:
    return one.weight is not None and one.weight.axis is not None
