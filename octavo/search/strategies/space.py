"""The plans a strategy may propose: a format for each group that gains, the others follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from octavo.graph import Graph, Group
from octavo.plan import Plan, Recipe
from octavo.search.initial import COMPUTES, Approach, InitialPlan, initial_plan
from octavo.search.study.records import format_name

FP32 = "fp32"
UNCHOSEN = "kept in float by the search"


@dataclass(frozen=True)
class Space:
    """What can be decided about a model.

    Attributes:
        graph: the model.
        approach: how activation ranges are found.
        recipe: how ranges are made and what is corrected; goes into every plan.
        per_channel: a weight scale per channel where the backend offers it; without, the formats
            with one scale per tensor alone are offered.
        float_patterns: groups that stay float.
        int8_patterns: groups that are quantized in every plan.
        refused: reasons by group id, for groups that the caller keeps in float.
    """

    graph: Graph
    approach: Approach = "static"
    recipe: Recipe = field(default_factory=Recipe)
    per_channel: bool = True
    float_patterns: Sequence[str] = ()
    int8_patterns: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The formats of each group that is decided on, by id: the best first, FP32 last.

        These are the groups of role `compute` that a plan of everything quantizes.
        """
        forced = self._initial(self.graph, self.refused, float_patterns=("*",)).plan.formats
        chosen = self._initial(self.graph, self.refused).plan.formats
        return {
            group.id: (*self._names(group, format_name(chosen[group.id])), FP32)
            for group in self.graph.groups
            if group.role == "compute" and group.id in chosen and group.id not in forced
        }

    def _names(self, group: Group, best: str) -> tuple[str, ...]:
        """Return the names of the formats of the approach, the best first."""
        able = [form for form in group.formats if form.compute in COMPUTES[self.approach]]
        if not self.per_channel:
            able = [form for form in able if format_name(form) == best]
        return tuple(dict.fromkeys((best, *map(format_name, able))))

    @property
    def quantized(self) -> dict[str, str]:
        """The choice that quantizes every group by its best format."""
        return {group: names[0] for group, names in self.choices.items()}

    def plan(self, choice: Mapping[str, str]) -> Plan:
        """Return a plan that the backend can build.

        Args:
            choice: the name of a format by group id, of those in `choices`; a group that is not
                named takes its best one.
        """
        chosen = self.quantized | dict(choice)
        refused = dict(self.refused)
        refused |= {name: UNCHOSEN for name, form in chosen.items() if form == FP32}
        groups = tuple(_restricted(group, chosen.get(group.id)) for group in self.graph.groups)
        return self._initial(replace(self.graph, groups=groups), refused).plan

    def float_share(self, choice: Mapping[str, str]) -> float:
        """Return the share of the multiply-adds of the groups decided on that stays in float."""
        work = {name: max(1, self.graph.group_by_id[name].macs) for name in self.choices}
        left = sum(macs for name, macs in work.items() if choice.get(name) == FP32)
        return left / max(1, sum(work.values()))

    def _initial(
        self,
        graph: Graph,
        refused: Mapping[str, str],
        float_patterns: Sequence[str] | None = None,
    ) -> InitialPlan:
        return initial_plan(
            graph,
            approach=self.approach,
            recipe=self.recipe,
            per_channel=self.per_channel,
            float_patterns=self.float_patterns if float_patterns is None else float_patterns,
            int8_patterns=self.int8_patterns,
            refused=refused,
        )


def _restricted(group: Group, chosen: str | None) -> Group:
    """Return a group with the formats of one name alone, so that the chooser takes one of them."""
    if chosen is None or chosen == FP32:
        return group
    options = tuple(one for one in group.options if format_name(one.format) == chosen)
    return replace(group, options=options)
