"""How much the quantization of each group disturbs the outputs: bisection over real INT8 models.

Errors of groups nearly add up. So the whole is measured first, then its halves, and always the part
with most error is halved again, until what is left in parts of several groups matters no more. Few
groups carry most of the error, as a rule, and take about two measurements for each halving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from octavo.graph import Graph
from octavo.plan import Compute, Format, Plan
from octavo.search.probe import WORST
from octavo.search.space import Space

MATTERS = 0.01
"""Share of the whole error below which a part is not halved any more."""

MOST_PLANS = 100


@dataclass(frozen=True)
class Part:
    """Groups that were quantized together, alone in the model.

    Attributes:
        groups: their ids, in the order of the graph.
        error: what the outputs lost.
    """

    groups: tuple[str, ...]
    error: float


@dataclass(frozen=True)
class Sensitivity:
    """What every group adds to the error of a plan.

    Attributes:
        errors: by group id and format.
        scale: what sums of them have to be multiplied by to be the error of whole plans.
        plans: how many models were measured.
        parts: what was measured and not halved further, by how it computes.
    """

    errors: Mapping[str, Mapping[Format, float]]
    scale: float = 1.0
    plans: int = 0
    parts: Mapping[Compute, tuple[Part, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form of the errors; `from_json` reads it back, without the parts."""
        rows = [
            [name, chosen.to_json(), error]
            for name, errors in self.errors.items()
            for chosen, error in errors.items()
        ]
        return {"errors": rows, "scale": self.scale, "plans": self.plans}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sensitivity:
        """Read what `to_json` wrote."""
        errors: dict[str, dict[Format, float]] = {}
        for name, chosen, error in data["errors"]:
            errors.setdefault(name, {})[Format.from_json(chosen)] = error
        return cls(errors, data["scale"], data["plans"])

    def of(self, plan: Plan) -> float:
        """Return the error that a plan should have."""
        return self.scale * sum(
            self.errors.get(name, {}).get(chosen, 0.0) for name, chosen in plan.formats.items()
        )


def measure_sensitivity(
    space: Space, error: Callable[[Plan], float], *, most_plans: int = MOST_PLANS
) -> Sensitivity:
    """Return the sensitivity of every group, in each way it can compute.

    Args:
        space: the formats of every group; the first of those that compute alike stands for all.
        error: measures a plan on real samples, such as `octavo.search.probe.Probe.error`.
        most_plans: how many plans may be measured.
    """
    forms = _forms(space)
    meter = _Meter(space, error, most_plans)
    parts: dict[Compute, tuple[Part, ...]] = {}
    whole = {compute: meter.part(compute, tuple(formats)) for compute, formats in forms.items()}
    least = MATTERS * max((part.error for part in whole.values()), default=0.0)
    for place, (compute, part) in enumerate(whole.items()):
        room = (most_plans - meter.plans) // (len(whole) - place)
        parts[compute] = meter.halve(compute, part, meter.plans + room, least)
    errors: dict[str, dict[Format, float]] = {}
    for compute, found in parts.items():
        for part in found:
            for name in part.groups:
                for one in space.choices[name]:
                    if one.compute == compute:
                        errors.setdefault(name, {})[one] = part.error / len(part.groups)
    return Sensitivity(errors, _scale(whole, parts), meter.plans, parts)


def _forms(space: Space) -> dict[Compute, dict[str, Format]]:
    """Return the first format of each group in each way to compute, where it can lose anything."""
    found: dict[Compute, dict[str, Format]] = {}
    for name, formats in space.choices.items():
        for one in formats:
            if not one.is_float and not _is_exact(space.graph, name):
                found.setdefault(one.compute, {}).setdefault(name, one)
    return found


def _is_exact(graph: Graph, name: str) -> bool:
    """Return whether a group only moves numbers, whose rounding its neighbours account for."""
    return graph.group_by_id[name].kind == "move"


def _scale(whole: Mapping[Compute, Part], parts: Mapping[Compute, Sequence[Part]]) -> float:
    """Return the error of the largest whole over the sum of its parts."""
    if not whole:
        return 1.0
    compute = max(whole, key=lambda one: len(whole[one].groups))
    total = sum(part.error for part in parts[compute])
    measured = whole[compute].error
    return measured / total if total > 0 and 0 < measured < WORST else 1.0


@dataclass
class _Meter:
    """Measures parts, no more than it may."""

    space: Space
    error: Callable[[Plan], float]
    most: int
    plans: int = 0

    def part(self, compute: Compute, groups: tuple[str, ...]) -> Part:
        self.plans += 1
        formats = {
            name: next(one for one in self.space.choices[name] if one.compute == compute)
            for name in groups
        }
        return Part(groups, self.error(self.space.plan(formats)))

    def halve(self, compute: Compute, whole: Part, most: int, least: float) -> tuple[Part, ...]:
        """Return the parts of a whole, the heaviest halved again while it has more than `least`."""
        parts = [whole]
        while self.plans + 2 <= most:
            heaviest = max(
                (part for part in parts if len(part.groups) > 1),
                key=lambda part: part.error,
                default=None,
            )
            if heaviest is None or heaviest.error <= least:
                break
            parts.remove(heaviest)
            middle = len(heaviest.groups) // 2
            for groups in (heaviest.groups[:middle], heaviest.groups[middle:]):
                parts.append(self.part(compute, groups))
        return tuple(parts)
