"""The plans worth trying, best first: static ranges, with corrections, then dynamic ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from octavo.graph import Graph
from octavo.job import Approach as AskedApproach
from octavo.job import QuantizeJob
from octavo.plan import CORRECTIONS, Correction, Plan, RangeMethod, Recipe
from octavo.search.initial import Approach, InitialPlan, initial_plan

AUTOMATIC: tuple[RangeMethod, ...] = ("minmax", "mse", "percentile")
"""Range methods that `auto` tries in turn: from what clips nothing to what clips most."""

WORTH_TRYING = 0.1
"""Share of the multiply-adds below which `auto` does not try a dynamic plan: even if those took no
time at all, the model would be at most 11 % faster (Amdahl's law)."""


@dataclass(frozen=True)
class Candidate:
    """A plan to build and to judge.

    Attributes:
        name: what reports call it.
        plan: the format of every group.
        reasons: why groups stay float, by group id.
        approach: how activation ranges are found.
    """

    name: str
    plan: Plan
    reasons: Mapping[str, str]
    approach: Approach = "static"

    @property
    def quantized(self) -> tuple[str, ...]:
        """Ids of the groups that the plan asks to quantize."""
        return tuple(name for name, form in self.plan.formats.items() if not form.is_float)


def candidates(graph: Graph, job: QuantizeJob, *, calibrated: bool = True) -> tuple[Candidate, ...]:
    """Return the plans that a job allows, in the order in which they should be tried.

    Plans that quantize nothing are left out, and so are repetitions. Among approaches, a dynamic
    plan is left out whose dynamic groups hold less than `WORTH_TRYING` of the work.

    Args:
        graph: the model.
        job: what was asked for.
        calibrated: whether there are calibration data, which `auto` does not correct without.

    Raises:
        UsageError: a pattern of the job matches no group, or forces one that has no INT8 form.
    """
    found: list[Candidate] = []
    for candidate in _all(graph, job, calibrated):
        if not candidate.quantized or _pointless(candidate, graph, job):
            continue
        if candidate.plan not in [other.plan for other in found]:
            found.append(candidate)
    return tuple(found)


def float_reasons(graph: Graph, job: QuantizeJob) -> Mapping[str, str]:
    """Return why every group stays float, by group id, for a job without a candidate."""
    return next(_all(graph, job, True)).reasons


def _all(graph: Graph, job: QuantizeJob, calibrated: bool) -> Iterator[Candidate]:
    for approach in _approaches(job.approach):
        for recipe in _recipes(approach, job, calibrated):
            initial = _initial(graph, job, approach, recipe)
            name = approach if approach == "dynamic" else f"{approach} {recipe.ranges}"
            name += " corrected" if recipe.corrections else ""
            yield Candidate(name, initial.plan, initial.reasons, approach)


def without(
    candidate: Candidate, graph: Graph, job: QuantizeJob, refused: Mapping[str, str]
) -> Candidate:
    """Return a candidate made anew without some groups, which stay float for the reasons given."""
    initial = _initial(graph, job, candidate.approach, candidate.plan.recipe, refused)
    return replace(candidate, plan=initial.plan, reasons=initial.reasons)


def _pointless(candidate: Candidate, graph: Graph, job: QuantizeJob) -> bool:
    if job.approach != "auto" or candidate.approach != "dynamic" or not graph.macs:
        return False
    formats = candidate.plan.formats
    dynamic = [name for name, form in formats.items() if form.compute == "int8_dynamic"]
    return sum(graph.group_by_id[name].macs for name in dynamic) < WORTH_TRYING * graph.macs


def _approaches(asked: AskedApproach) -> tuple[Approach, ...]:
    return ("static", "dynamic") if asked == "auto" else (asked,)


def _recipes(approach: Approach, job: QuantizeJob, calibrated: bool) -> tuple[Recipe, ...]:
    """Return the recipes to try; `auto` corrects the first one before it turns to other ranges."""
    methods = AUTOMATIC if job.ranges == "auto" else (job.ranges,)
    if approach == "dynamic":
        methods = methods[:1]  # only groups forced to INT8 without a dynamic form have ranges
    always: tuple[Correction, ...] = () if isinstance(job.correct, str) else job.correct
    first, *others = (Recipe(method, job.percentile, always) for method in methods)
    if job.correct != "auto" or not calibrated:
        return first, *others
    return first, replace(first, corrections=CORRECTIONS), *others


def _initial(
    graph: Graph,
    job: QuantizeJob,
    approach: Approach,
    recipe: Recipe,
    refused: Mapping[str, str] | None = None,
) -> InitialPlan:
    return initial_plan(
        graph,
        approach=approach,
        recipe=recipe,
        per_channel=job.per_channel,
        float_patterns=job.float_patterns,
        int8_patterns=job.int8_patterns,
        refused=refused,
    )
