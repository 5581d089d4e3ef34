"""How a run judges its models: the metric or the user's function, with FP32 evaluated first."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array, Batch, batch_size
from octavo.backends.base import Session
from octavo.errors import DataError, ModelError, NonFiniteError
from octavo.job import QuantizeJob
from octavo.loaded import LoadedModel
from octavo.metrics import get_metric
from octavo.workflow.batches import full_batches, sized
from octavo.workflow.evaluate import MetricEvaluator, UserEvaluator
from octavo.workflow.evaluation import Evaluation, Evaluator, MetricSource, Predict
from octavo.workflow.finite import explain_non_finite
from octavo.workflow.inputs import Given, RunData
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting


@dataclass(frozen=True)
class Judging:
    """The float model's result, and what gives the others theirs.

    Attributes:
        evaluator: evaluates a model.
        fp32: the float model's evaluation.
        samples: how many samples an evaluation has, None where that is not known.
    """

    evaluator: Evaluator
    fp32: Evaluation
    samples: int | None


def make_evaluator(
    setting: Setting, job: QuantizeJob, given: Given, data: RunData, session: Session
) -> Evaluator:
    """Return what evaluates models: the user's function, else the metric.

    Args:
        setting: the float model.
        job: names the metric and the batch size.
        given: holds the user's function.
        data: what to evaluate on.
        session: runs the float model.
    """
    if given.evaluate is None:
        size = setting.fixed or job.batch_size
        return MetricEvaluator(choose_metric(job, given, data), data.evaluation, size, session)

    def predictor(running: Session) -> Predict:
        return LoadedModel(running, setting.model.inputs, setting.model.outputs)

    return UserEvaluator(given.evaluate, "score", given.higher_is_better, predictor)


def check_metric(job: QuantizeJob, given: Given, data: RunData) -> None:
    """Check, before any work, that the metric exists and has the labels that it needs.

    Raises:
        DataError: it needs labels and the data have none.
        UsageError: there is none of that name.
    """
    if given.evaluate is not None:
        return
    metric = get_metric(choose_metric(job, given, data))
    if metric.needs == "labels" and not data.evaluation.labelled:
        raise DataError(
            f"the metric {metric.name!r} needs labels and {data.evaluation.name} has none; give "
            "labelled data, or leave the metric out to compare INT8 with FP32"
        )


def choose_metric(job: QuantizeJob, given: Given, data: RunData) -> MetricSource:
    """Return the metric that was asked for, else the one that the labels are made for."""
    asked = given.metric or job.metric
    if asked is not None:
        return asked
    if data.evaluated_on != "evaluation" or not data.evaluation.labelled:
        return "agreement"
    labels = next(iter(data.evaluation.batches(1))).labels
    return "mse" if labels is not None and labels.dtype.kind == "f" else "top1"


def evaluate_fp32(
    setting: Setting,
    job: QuantizeJob,
    given: Given,
    data: RunData,
    reporter: Reporter,
) -> Judging:
    """Evaluate the float model, before any work that its result could make useless.

    Raises:
        DataError: its value is not a finite number.
        UsageError: the tolerance is a share of a value that is negative or near zero.
    """
    session = setting.open(setting.model)
    if given.evaluate is None:  # a user's function may ask for what no model can run
        session = _FloatSession(session, setting.fixed)
    evaluator = make_evaluator(setting, job, given, data, session)
    samples = None if given.evaluate else data.evaluation.size
    with reporter.track("evaluating FP32", samples) as advance:
        try:
            fp32 = evaluator(session, advance)
        except NonFiniteError as error:
            raise DataError(
                explain_non_finite(error, setting, data.evaluation, job.batch_size)
            ) from None
    if not math.isfinite(fp32.value):
        raise DataError(
            f"{fp32.metric} of the FP32 model is {fp32.value}; check the model and the data, or "
            "choose another metric"
        )
    job.tolerance.slack(fp32.value, fp32.metric)
    if isinstance(evaluator, MetricEvaluator) and evaluator.single_class:
        outputs = ", ".join(map(repr, evaluator.single_class))
        reporter.warn(
            f"FP32 gives one class for all {fp32.samples} samples (output {outputs}), so that an "
            "equal class says next to nothing: agreement looks at the values too; give samples of "
            "several classes"
        )
    return Judging(evaluator, fp32, samples)


@dataclass(frozen=True)
class _FloatSession:
    """A session of the float model, whose failures are told as its own.

    Attributes:
        session: runs the model.
        fixed: the batch size that the model declares, None where it is free.
    """

    session: Session
    fixed: int | None

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run a batch.

        Raises:
            DataError: the model cannot run it.
            ModelError: an output is no tensor.
        """
        try:
            outputs = self.session.run(batch)
        except NonFiniteError:
            raise
        except DataError as error:
            hint = self._hint(batch)
            raise DataError(f"the FP32 model itself fails: {error}{hint}") from None
        for name, values in outputs.items():
            if not isinstance(values, np.ndarray):
                raise ModelError(
                    f"output {name!r} is a sequence or a map, and only tensors can be compared; "
                    "take it out of the model's outputs"
                )
        return outputs

    def _hint(self, batch: Batch) -> str:
        samples = batch_size(batch)
        alone = self.fixed is None and samples > 1 and _runs(self.session, sized(batch, 1))
        return (
            f"; it runs with one sample, and not with {samples} at once: give --batch-size 1 "
            "(batch_size=1)"
            if alone
            else ""
        )


def _runs(session: Session, batch: Batch) -> bool:
    try:
        session.run(batch)
    except DataError:
        return False
    return True


def announce_time(setting: Setting, job: QuantizeJob, data: RunData, reporter: Reporter) -> None:
    """Say how long the run will take, from one timed forward.

    Raises:
        DataError: the first batch does not fit the model.
        ModelError: an output of the model is no tensor.
    """
    batch = next(full_batches(data.evaluation, job.batch_size, setting.fixed))
    session = _FloatSession(setting.open(setting.model), setting.fixed)
    session.run(batch.inputs)
    started = time.perf_counter()
    session.run(batch.inputs)
    per_sample = (time.perf_counter() - started) / batch.samples
    calibration, evaluation = data.calibration.size or 0, data.evaluation.size or 0
    # observing costs about two forwards of time, and INT8 takes at most as long as FP32
    seconds = per_sample * (3 * calibration + 2 * evaluation) + 1.5 * job.seconds
    reporter.say(
        f"about {format_seconds(seconds)} if the first plan holds: {calibration} samples to "
        f"calibrate on, {evaluation} to evaluate on, {job.seconds:g} s to measure"
    )


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
