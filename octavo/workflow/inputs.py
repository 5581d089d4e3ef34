"""Opening the data of a run, and saying plainly what is missing or doubtful about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from octavo.arrays import Array
from octavo.data import (
    CheckedDataset,
    Dataset,
    DataSource,
    Preprocess,
    Role,
    class_warnings,
    input_ranges,
    open_dataset,
    overlap,
    suspicious_ranges,
)
from octavo.data.images import ImageFolder
from octavo.errors import UsageError
from octavo.job import Preprocessing, QuantizeJob
from octavo.model import TensorSpec
from octavo.workflow.batches import fixed_batch, sized
from octavo.workflow.drawn import draw
from octavo.workflow.evaluation import MetricSource, Predict
from octavo.workflow.reporter import Reporter

RANDOM_SAMPLES = 32
CALIBRATION_SAMPLES = 300
"""At most, where neither the job nor the specification of the data gives a number."""


@dataclass(frozen=True)
class Given:
    """What only Python can give; None where the job's text says it.

    Attributes:
        model: a framework's own object.
        calibration: batches or a data set.
        evaluation: batches or a data set.
        metric: a function from outputs and labels to one score per sample.
        evaluate: takes a loaded model and returns its score.
        higher_is_better: the direction of that score.
    """

    model: object = None
    calibration: DataSource | None = None
    evaluation: DataSource | None = None
    metric: MetricSource | None = None
    evaluate: Callable[[Predict], float] | None = None
    higher_is_better: bool = True

    def check(self, job: QuantizeJob) -> None:
        """Check that what judges the models is one thing.

        Raises:
            UsageError: `evaluate` is no function, or stands beside what it takes the place of.
        """
        if self.evaluate is None:
            return
        if not callable(self.evaluate):
            raise UsageError(
                f"evaluate is {self.evaluate!r}; it must be a function that takes a loaded model "
                "and returns its score"
            )
        beside = {
            "evaluation": self.evaluation is not None or job.evaluation is not None,
            "metric": self.metric is not None or job.metric is not None,
        }
        for name in (name for name, is_given in beside.items() if is_given):
            raise UsageError(f"evaluate judges the models by itself; leave out {name}=")


@dataclass(frozen=True)
class RunData:
    """The data of one run.

    Attributes:
        calibration: where ranges come from.
        evaluation: what both models are judged on.
        evaluated_on: `evaluation` data of their own, the `calibration` data, or `random` data.
        calibrated: whether `calibration` was given; else it is random.
    """

    calibration: Dataset
    evaluation: Dataset
    evaluated_on: Literal["evaluation", "calibration", "random"]
    calibrated: bool = True

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """How pictures became inputs, JSON-ready; empty where the data were no pictures."""
        for dataset in (self.calibration, self.evaluation):
            if isinstance(dataset, CheckedDataset) and isinstance(dataset.source, ImageFolder):
                settled = asdict(dataset.source.reader.settled)
                return Preprocessing(**settled).model_dump(mode="json")
        return {}

    def sample(self, inputs: Sequence[TensorSpec], size: int) -> Mapping[str, Array]:
        """Return the inputs of one forward of `size` samples, or of the model's fixed size."""
        first = next(iter(self.evaluation.batches(size)))
        return sized(first.inputs, fixed_batch(inputs) or size)


def open_run_data(
    job: QuantizeJob, given: Given, inputs: Sequence[TensorSpec], reporter: Reporter
) -> RunData:
    """Open calibration and evaluation data, with a stand-in for what is missing.

    Raises:
        DataError: data cannot be read, are empty, or do not fit the model.
        UsageError: the two overlap and the job does not allow it; a preprocessing or shapes that
            were asked for would not be used; random data are needed and shapes are missing.
    """
    calibration = _open(
        given.calibration, job.calibration, "calibration", job.calibration_samples, job, inputs
    )
    evaluation = _open(
        given.evaluation, job.evaluation, "evaluation", job.evaluation_samples, job, inputs
    )
    _check_preprocessing(job, calibration, evaluation)
    if job.shapes and (calibration or evaluation):
        raise UsageError("shapes are for random data, and data were given; leave out --shape")
    if calibration and evaluation:
        _check_overlap(job, calibration, evaluation, reporter)
    _check_ranges(calibration, evaluation, reporter)
    return _complete(job, inputs, calibration, evaluation)


def _open(
    given: DataSource | None,
    text: str | None,
    role: Role,
    limit: int | None,
    job: QuantizeJob,
    inputs: Sequence[TensorSpec],
) -> CheckedDataset | None:
    source = text if given is None else given
    if source is None:
        return None
    preprocess = Preprocess(**job.preprocessing.model_dump())
    default = CALIBRATION_SAMPLES if role == "calibration" else None
    return open_dataset(
        source, inputs, role=role, limit=limit, default=default, preprocess=preprocess
    )


def _check_preprocessing(job: QuantizeJob, *datasets: CheckedDataset | None) -> None:
    opened = [dataset for dataset in datasets if dataset is not None]
    if job.preprocessing == Preprocessing() or not opened:
        return
    if not any(isinstance(dataset.source, ImageFolder) for dataset in opened):
        raise UsageError(
            "preprocessing is for image folders, and none was given; prepare other data yourself"
        )


def _check_overlap(
    job: QuantizeJob, calibration: CheckedDataset, evaluation: CheckedDataset, reporter: Reporter
) -> None:
    common = overlap(calibration, evaluation)
    if not common:
        return
    if not job.allow_overlap:
        raise UsageError(
            f"{common} of the evaluation samples are in the calibration data too, which flatters "
            "INT8; give other data, or accept it with --allow-overlap (allow_overlap=True)"
        )
    reporter.warn(f"{common} of the evaluation samples are in the calibration data too")


def _check_ranges(
    calibration: Dataset | None, evaluation: Dataset | None, reporter: Reporter
) -> None:
    first, second = calibration or evaluation, evaluation if calibration else None
    if first is not None:
        ranges = input_ranges(second) if second is not None else None
        found = suspicious_ranges(input_ranges(first), ranges)
        for warning in [*found, *class_warnings(calibration, evaluation)]:
            reporter.warn(warning)


def _complete(
    job: QuantizeJob,
    inputs: Sequence[TensorSpec],
    calibration: Dataset | None,
    evaluation: Dataset | None,
) -> RunData:
    if calibration is not None:
        if evaluation is not None:
            return RunData(calibration, evaluation, "evaluation")
        return RunData(calibration, calibration, "calibration")
    shapes = job.shapes if evaluation is None else _shapes(evaluation)
    calibration = draw(inputs, RANDOM_SAMPLES, job.seed, shapes)
    if evaluation is not None:
        return RunData(calibration, evaluation, "evaluation", calibrated=False)
    other = draw(inputs, RANDOM_SAMPLES, job.seed + 1, shapes)
    return RunData(calibration, other, "random", calibrated=False)


def warn_of_stand_ins(data: RunData, given: Given, ranges: bool, reporter: Reporter) -> None:
    """Say which data are missing, and what that means for the result.

    Args:
        data: the data of the run.
        given: what judges the models.
        ranges: whether any plan takes ranges from the calibration data.
        reporter: is told.
    """
    if ranges and not data.calibrated:
        reporter.warn(
            "NO CALIBRATION DATA: the ranges come from random numbers, so that the speed is real "
            "and the accuracy is not; give calibration data before you use the model"
        )
    elif data.evaluated_on == "random" and given.evaluate is None:
        reporter.warn(
            "no data: the models are compared on random numbers, which tells nothing about their "
            "accuracy; give evaluation data for a verdict that holds"
        )
    if data.evaluated_on == "calibration" and given.evaluate is None:
        reporter.warn(
            "no evaluation data: the models are compared on the calibration data, which flatters "
            "INT8; give evaluation data for a verdict that holds"
        )


def _shapes(dataset: Dataset) -> dict[str, tuple[int, ...]]:
    first = next(iter(dataset.batches(1)))
    return {name: tuple(array.shape) for name, array in first.inputs.items()}
