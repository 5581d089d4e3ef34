"""Trying plans until one is accurate and faster; where none is, what is wrong decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from octavo.errors import ExitCode, ModelError, OctavoError
from octavo.measure import Statistics
from octavo.search.candidates import Candidate
from octavo.workflow.attempt import Attempts
from octavo.workflow.judge import Judge
from octavo.workflow.proposals import InOrder, Proposals
from octavo.workflow.trial import Trial

Rebuild: TypeAlias = Callable[[Trial], Trial]

AFFORDED = 2.0
"""Evaluations after which no plan is tried any more that is only faster than one that holds."""

MEASURED = 5
"""Plans beyond the tolerance that are measured at most."""


@dataclass(frozen=True)
class Outcome:
    """What the search found.

    Attributes:
        best: the trial that was kept, or where the float model was, the one to be reported; None
            when there was nothing to quantize.
        trials: one row per plan that was tried.
        exit_code: done, tolerance not reached, or not faster.
        refused: why the runtime refused every plan; None where it ran one.
        defect: what is wrong with the form that would be quantized; None where nothing is.
        evaluations: what judging cost, as evaluations of all samples.
    """

    best: Trial | None
    trials: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    exit_code: ExitCode = ExitCode.NOT_FASTER
    refused: str | None = None
    defect: str | None = None
    evaluations: float = 0.0

    @property
    def keeps_int8(self) -> bool:
        """Whether the INT8 model of `best` is kept, which one that does not pay never is."""
        return self.best is not None and self.best.pays


def search(
    plans: Sequence[Candidate] | Proposals, statistics: Statistics | None, judge_by: Judge
) -> Outcome:
    """Try plans in turn until one is within the tolerance and faster, and one that is faster still.

    The fastest is proven. A plan that only has other ranges than one that was accurate and not
    faster is passed over: it executes the same kernels. So is one of the formats that the runtime
    refused. A plan that fails, be it in the audit or while it is judged or measured, stops neither
    the others nor the fall back to float.

    Args:
        plans: in the order in which to try them, or what gives them one by one.
        statistics: of the calibration data; None where no plan needs ranges.
        judge_by: what they are judged by.
    """
    trials: list[Trial] = []
    passed: list[Mapping[str, Any]] = []
    refused: str | None = None
    attempts = Attempts(statistics, judge_by)
    proposals = InOrder(plans) if isinstance(plans, Sequence) else plans
    while not _stopped(judge_by, trials):
        candidate = proposals.next(trials) or _second_thought(trials, proposals, judge_by)
        if candidate is None:
            break
        if candidate.plan.formats in passed:
            continue
        try:
            trial = attempts.attempt(candidate)
        except OctavoError as error:
            refused = str(error)
            judge_by.reporter.warn(f"{candidate.name}: {refused}")
            if isinstance(error, ModelError) and not candidate.plan.recipe.corrections:
                # of the runtime, whatever the ranges
                passed.append(candidate.plan.formats)
            continue
        trials.append(trial)
        if trial.good:
            trials = _settled(_improved(trials, proposals, attempts), judge_by)
            if any(one.good for one in trials):
                break
        passed += [one.candidate.plan.formats for one in trials if one.accuracy.reached]
    return conclude(trials, judge_by, refused)


def _second_thought(trials: list[Trial], proposals: Proposals, judge_by: Judge) -> Candidate | None:
    """Return a plan where the first one is measured to be faster than any was predicted to be."""
    if not trials or not proposals.doubts:
        return None
    try:
        trials[0] = judge_by.measured(trials[0])
    except OctavoError as error:
        judge_by.reporter.warn(f"{trials[0].candidate.name}: {error}")
        return None
    return proposals.next(trials)


def _improved(trials: list[Trial], proposals: Proposals, attempts: Attempts) -> list[Trial]:
    """Return trials with one more where a plan should be better than those that hold."""
    judge_by = attempts.judge_by
    spent = judge_by.spent.evaluations(judge_by.samples)
    if spent > AFFORDED or judge_by.why_stop() is not None:
        return trials
    candidate = proposals.better(trials)
    if candidate is None:
        return trials
    try:
        return [*trials, attempts.attempt(candidate)]
    except OctavoError as error:
        judge_by.reporter.warn(f"{candidate.name}: {error}")
        return trials


def _settled(trials: Sequence[Trial], judge_by: Judge) -> list[Trial]:
    """Prove the best plan; where that refutes it, judge the next one by all samples."""
    found = list(trials)
    places = [place for place, trial in enumerate(found) if trial.good]
    for place in sorted(places, key=lambda place: found[place].gain, reverse=True):
        proves = judge_by.examiner is None or judge_by.examiner.proves
        found[place] = (judge_by.conclude if proves else judge_by.complete)(found[place])
        if found[place].good:
            break
    return found


def _as_it_is(trial: Trial) -> Trial:
    return trial


def conclude(
    trials: Sequence[Trial],
    judge_by: Judge,
    refused: str | None = None,
    rebuild: Rebuild = _as_it_is,
) -> Outcome:
    """Return what trials amount to.

    Args:
        trials: those that ran, in their order.
        judge_by: what they were judged by.
        refused: why the last of the others did not.
        rebuild: gives a trial its model back, where those were let go.
    """
    outcome = _outcome(trials, judge_by, rebuild) if trials else Outcome(None, refused=refused)
    return replace(outcome, evaluations=judge_by.spent.evaluations(judge_by.samples))


def _stopped(judge_by: Judge, trials: Sequence[Trial]) -> bool:
    """Return whether a limit of the user's allows no further plan; there is always a first one."""
    why = judge_by.why_stop() if trials else None
    if why:
        judge_by.reporter.warn(f"the search stopped after {_counted(len(trials))}: {why}")
    return why is not None


def _counted(plans: int) -> str:
    return "1 plan" if plans == 1 else f"{plans} plans"


def _outcome(trials: Sequence[Trial], judge_by: Judge, rebuild: Rebuild) -> Outcome:
    """Return the plan that holds, else the best of those that missed the tolerance, else of all.

    A plan that is accurate because it quantizes next to nothing does not hide that another one
    missed the tolerance. One of the same formats does, with other ranges or corrections. Of those
    that missed it, the most accurate that is faster is the best; where none is faster, the most
    accurate, which is not kept then.
    """
    if good := [trial for trial in trials if trial.good]:
        best = max(good, key=lambda trial: trial.gain)
        return Outcome(best, [trial.to_json() for trial in trials], ExitCode.DONE)
    accurate = [trial.candidate.plan.formats for trial in trials if trial.accuracy.reached]
    missed = [trial for trial in trials if trial.candidate.plan.formats not in accurate]
    if not missed:
        reached = [trial for trial in trials if trial.accuracy.reached]
        best = max(reached, key=lambda trial: trial.merit)
        return Outcome(best, [trial.to_json() for trial in trials], ExitCode.NOT_FASTER)
    measured, failure = _measure_missed(missed, judge_by, rebuild)
    if not measured:
        others = [trial for trial in trials if trial.accuracy.reached]
        return _outcome(others, judge_by, rebuild) if others else Outcome(None, refused=failure)
    best = measured[-1] if measured[-1].pays else measured[0]
    if best.pays:  # it is kept, so that its figures are to be of all samples
        best = judge_by.complete(best)
    by_name = {trial.candidate.name: trial for trial in (*trials, *measured, best)}
    rows = [by_name[trial.candidate.name].to_json() for trial in trials]
    return Outcome(best, rows, ExitCode.DONE if best.good else ExitCode.TOLERANCE_NOT_REACHED)


def _measure_missed(
    missed: Sequence[Trial], judge_by: Judge, rebuild: Rebuild
) -> tuple[list[Trial], str]:
    """Measure plans that missed the tolerance, the most accurate first, until one is faster.

    One that only has other ranges than one that was measured is passed over, as it executes the
    same kernels, and so is one without a score, unless no other can be measured.

    Returns:
        Those that were measured, and why the last of the others could not be.
    """
    measured: list[Trial] = []
    failure = ""
    for trial in sorted(missed, key=lambda trial: trial.merit, reverse=True):
        known = [other.candidate.plan.formats for other in measured]
        if trial.candidate.plan.formats in known or (known and math.isinf(trial.merit)):
            continue
        try:
            measured.append(judge_by.measured(rebuild(trial)))
        except OctavoError as error:
            failure = str(error)
            judge_by.reporter.warn(f"{trial.candidate.name}: {failure}")
            continue
        if measured[-1].pays or len(measured) == MEASURED:
            break
    return measured, failure
