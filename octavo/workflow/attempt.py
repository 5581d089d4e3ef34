"""One plan made real: ranges, corrections, the model, its audit, its judgement and its speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from octavo.backends.base import Audit, Ranges
from octavo.correct import Corrected
from octavo.errors import DataError, NonFiniteError, OctavoError
from octavo.graph import Graph
from octavo.job import QuantizeJob
from octavo.measure import Statistics
from octavo.model import Model
from octavo.plan import Plan
from octavo.search.apart import far_apart
from octavo.search.candidates import Candidate, without
from octavo.search.initial import wanted_tensors
from octavo.workflow.calibrate import plan_ranges
from octavo.workflow.finite import explain_weights
from octavo.workflow.judge import Judge
from octavo.workflow.trial import Trial, audit


@dataclass(frozen=True)
class Built:
    """A plan's model and what it was made from.

    Attributes:
        candidate: the plan, without joins whose ranges are far apart.
        ranges: the activation ranges that were built in.
        model: the INT8 model.
        audits: what every group really executes.
        corrected: the float model that it was built from; None where that is the user's.
    """

    candidate: Candidate
    ranges: Ranges
    model: Model
    audits: tuple[Audit, ...]
    corrected: Corrected | None


@dataclass(frozen=True)
class Attempts:
    """Makes plans real, each once: what an earlier run of the same job found is not done again.

    Attributes:
        statistics: of the calibration data; None where no plan needs ranges.
        judge_by: what plans are judged by.
    """

    statistics: Statistics | None
    judge_by: Judge

    def attempt(self, candidate: Candidate) -> Trial:
        """Judge a plan, and measure it if it may hold.

        Raises:
            OctavoError: it cannot be built, run or judged, now or before.
        """
        return self._kept(candidate, self._in_full)

    def judge(self, candidate: Candidate) -> Trial:
        """Judge a plan and do no more with it.

        Raises:
            OctavoError: as `attempt`.
        """
        return self._kept(candidate, self._judged)

    def finish(self, trial: Trial) -> Trial:
        """Measure a plan that was judged, and prove it if it is better than float."""
        trial = self.judge_by.measured(trial)
        return self.judge_by.conclude(trial) if trial.good else trial

    def rebuild(self, trial: Trial) -> Trial:
        """Return a trial with its model, which was let go."""
        return replace(trial, model=self.build(trial.candidate).model)

    def _kept(
        self, candidate: Candidate, act: Callable[[Candidate, Mapping[str, Any]], Trial]
    ) -> Trial:
        job, memory = self.judge_by.job, self.judge_by.memory
        record = memory.find(candidate.plan)
        if record is None:
            with memory.trial(candidate.name, candidate.plan, job.seed) as finish:
                trial = act(candidate, {})
                finish(trial.record(job.tolerance))
                return trial
        if record.state == "failed":
            raise OctavoError(record.reason or "it failed before")
        return act(candidate, record.measurements)

    def _in_full(self, candidate: Candidate, known: Mapping[str, Any]) -> Trial:
        trial = self._judged(candidate, known)
        return self.judge_by.measured(trial, known) if trial.accuracy.reached else trial

    def _judged(self, candidate: Candidate, known: Mapping[str, Any]) -> Trial:
        built = self.build(candidate)
        accuracy, exam = self.judge_by.examine(built.model, candidate.name, known)
        return Trial(
            built.candidate,
            built.ranges,
            built.model,
            built.audits,
            accuracy,
            corrected=built.corrected,
            exam=exam,
            objective=self.judge_by.job.objective,
        )

    def build(self, candidate: Candidate) -> Built:
        """Build the model of a plan and audit it.

        Raises:
            DataError: a weight is not finite, or ranges are missing.
            ModelError: the runtime refuses it.
        """
        setting = self.judge_by.setting
        candidate, ranges = _ranged(candidate, self.statistics, setting.graph, self.judge_by.job)
        try:
            corrected = self.judge_by.correct(candidate.plan)
            source, ranges = (
                (corrected.model, corrected.ranges) if corrected else (setting.model, ranges)
            )
            built = setting.backend.build(source, candidate.plan, ranges, setting.target)
        except NonFiniteError as error:
            raise DataError(explain_weights(error, setting, candidate.quantized)) from None
        audits = audit(setting, candidate, source, built)
        return Built(candidate, ranges, built, audits, corrected)


def _ranged(
    candidate: Candidate, statistics: Statistics | None, graph: Graph, job: QuantizeJob
) -> tuple[Candidate, Ranges]:
    """Return the ranges of a candidate, which loses the joins whose ranges are far apart."""
    schemes = wanted_tensors(graph, [candidate.plan])
    if not schemes:
        return candidate, {}
    if statistics is None:
        raise DataError(f"the plan {candidate.name!r} needs ranges and nothing was calibrated")
    untied = Plan(recipe=candidate.plan.recipe)
    refused = far_apart(graph, candidate.plan, plan_ranges(statistics, graph, untied, schemes))
    if refused:
        candidate = without(candidate, graph, job, refused)
        schemes = wanted_tensors(graph, [candidate.plan])
    return candidate, plan_ranges(statistics, graph, candidate.plan, schemes)
