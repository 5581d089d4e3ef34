"""Trying plans until one is accurate and faster; where none is, what is wrong decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from octavo.backends.base import Ranges
from octavo.bench import ModelRef
from octavo.correct import Corrected
from octavo.data.base import Dataset
from octavo.errors import (
    DataError,
    ExitCode,
    ModelError,
    NonFiniteError,
    OctavoError,
    UnequalSizesError,
)
from octavo.graph import Graph
from octavo.job import QuantizeJob
from octavo.measure import Statistics
from octavo.model import Model
from octavo.plan import Plan
from octavo.search.apart import far_apart
from octavo.search.candidates import Candidate, without
from octavo.search.initial import wanted_tensors
from octavo.workflow.calibrate import plan_ranges
from octavo.workflow.correct import correct_model
from octavo.workflow.evaluate import Evaluation, Evaluator
from octavo.workflow.finite import explain_weights
from octavo.workflow.measure import Throughput, measure_surely, save_model
from octavo.workflow.proposals import InOrder, Proposals
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting
from octavo.workflow.trial import Trial, audit
from octavo.workflow.verdict import judge


@dataclass(frozen=True)
class Judge:
    """Everything that plans are judged by.

    Attributes:
        setting: the float model and its target.
        job: tolerance and time.
        fp32: the float model's evaluation.
        evaluator: evaluates a model.
        samples: how many samples an evaluation has, None where that is not known.
        real: whether the samples are data and not random numbers.
        baselines: the saved FP32 models.
        place: a folder for models that are measured.
        reporter: is told the progress.
        calibration: what models are corrected on; None where none is.
    """

    setting: Setting
    job: QuantizeJob
    fp32: Evaluation
    evaluator: Evaluator
    samples: int | None
    real: bool
    baselines: Mapping[str, ModelRef]
    place: Path
    reporter: Reporter
    calibration: Dataset | None = None

    def correct(self, plan: Plan) -> Corrected | None:
        """Return the model that a plan is built from, None where that is the float one."""
        if not plan.recipe.corrections or self.calibration is None:
            return None
        size = self.job.batch_size
        return correct_model(self.setting, plan, self.calibration, size, self.reporter)

    def evaluate(self, model: Model, title: str) -> Evaluation:
        """Evaluate a model built from the float one; outputs that are not finite score NaN."""
        with self.reporter.track(title, self.samples) as advance:
            try:
                return self.evaluator(self.setting.open(model), advance)
            except NonFiniteError as error:
                self.reporter.warn(f"{title}: {error}")
                return replace(self.fp32, value=math.nan, scores=None, outputs={})
            except UnequalSizesError as error:
                self.reporter.warn(f"{title}: {error}")
                return replace(self.fp32, value=math.nan, scores=None, unscored=True, outputs={})

    def measure(self, trial: Trial) -> Throughput:
        """Measure a trial's model in turns with the float model."""
        folder = self.place / trial.candidate.name.replace(" ", "-")
        label = f"INT8 {trial.candidate.name}"
        saved = save_model(self.setting, trial.model, folder, label, self.job.trust)
        return measure_surely(
            self.baselines, saved, self.setting, self.job.seconds, self.job.seed, self.reporter
        )


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
    """

    best: Trial | None
    trials: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    exit_code: ExitCode = ExitCode.NOT_FASTER
    refused: str | None = None
    defect: str | None = None

    @property
    def keeps_int8(self) -> bool:
        """Whether the INT8 model of `best` is kept, which a model that is not faster never is."""
        return self.best is not None and self.best.faster


def search(
    plans: Sequence[Candidate] | Proposals, statistics: Statistics | None, judge_by: Judge
) -> Outcome:
    """Try plans in turn and stop at the first that is within the tolerance and faster.

    A plan that only has other ranges than one that was accurate and not faster is passed over: it
    executes the same kernels. So is one of the formats that the runtime refused. A plan that fails,
    be it in the audit or while it is judged or measured, stops neither the others nor the fall back
    to float.

    Args:
        plans: in the order in which to try them, or what gives them one by one.
        statistics: of the calibration data; None where no plan needs ranges.
        judge_by: what they are judged by.
    """
    trials: list[Trial] = []
    passed: list[Mapping[str, Any]] = []
    refused: str | None = None
    proposals = InOrder(plans) if isinstance(plans, Sequence) else plans
    while (candidate := proposals.next(trials)) is not None:
        if candidate.plan.formats in passed:
            continue
        try:
            trial = _try(candidate, statistics, judge_by)
            if trial.accuracy.reached:
                trial = trial.measured(judge_by.measure(trial))
        except OctavoError as error:
            refused = str(error)
            judge_by.reporter.warn(f"{candidate.name}: {refused}")
            if isinstance(error, ModelError) and not candidate.plan.recipe.corrections:
                # of the runtime, whatever the ranges
                passed.append(candidate.plan.formats)
            continue
        trials.append(trial)
        if trial.good:
            break
        if trial.accuracy.reached:
            passed.append(candidate.plan.formats)
    return _outcome(trials, judge_by) if trials else Outcome(None, refused=refused)


def _outcome(trials: Sequence[Trial], judge_by: Judge) -> Outcome:
    """Return the plan that holds, else the best of those that missed the tolerance, else of all.

    A plan that is accurate because it quantizes next to nothing does not hide that another one
    missed the tolerance. One of the same formats does, with other ranges or corrections. Of those
    that missed it, the most accurate that is faster is the best; where none is faster, the most
    accurate, which is not kept then.
    """
    if good := [trial for trial in trials if trial.good]:
        return Outcome(good[0], [trial.to_json() for trial in trials], ExitCode.DONE)
    accurate = [trial.candidate.plan.formats for trial in trials if trial.accuracy.reached]
    missed = [trial for trial in trials if trial.candidate.plan.formats not in accurate]
    if not missed:
        reached = [trial for trial in trials if trial.accuracy.reached]
        best = max(reached, key=lambda trial: trial.merit)
        return Outcome(best, [trial.to_json() for trial in trials], ExitCode.NOT_FASTER)
    measured, failure = _measure_missed(missed, judge_by)
    if not measured:
        others = [trial for trial in trials if trial.accuracy.reached]
        return _outcome(others, judge_by) if others else Outcome(None, refused=failure)
    best = measured[-1] if measured[-1].faster else measured[0]
    by_name = {trial.candidate.name: trial for trial in (*trials, *measured)}
    rows = [by_name[trial.candidate.name].to_json() for trial in trials]
    return Outcome(best, rows, ExitCode.TOLERANCE_NOT_REACHED)


def _measure_missed(missed: Sequence[Trial], judge_by: Judge) -> tuple[list[Trial], str]:
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
            measured.append(trial.measured(judge_by.measure(trial)))
        except OctavoError as error:
            failure = str(error)
            judge_by.reporter.warn(f"{trial.candidate.name}: {failure}")
            continue
        if measured[-1].faster:
            break
    return measured, failure


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


def _try(candidate: Candidate, statistics: Statistics | None, judge_by: Judge) -> Trial:
    setting = judge_by.setting
    candidate, ranges = _ranged(candidate, statistics, setting.graph, judge_by.job)
    try:
        corrected = judge_by.correct(candidate.plan)
        source, ranges = (
            (corrected.model, corrected.ranges) if corrected else (setting.model, ranges)
        )
        built = setting.backend.build(source, candidate.plan, ranges, setting.target)
    except NonFiniteError as error:
        raise DataError(explain_weights(error, setting, candidate.quantized)) from None
    audits = audit(setting, candidate, source, built)
    int8 = judge_by.evaluate(built, f"evaluating {candidate.name}")
    accuracy = judge(judge_by.fp32, int8, judge_by.job.tolerance, real=judge_by.real)
    return Trial(candidate, ranges, built, audits, accuracy, corrected=corrected)
