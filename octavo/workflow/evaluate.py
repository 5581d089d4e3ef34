"""Running a model over labelled data, or against the float model, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from octavo.arrays import Array, Batch, FloatArray
from octavo.backends.base import Session
from octavo.data.base import Dataset, LabelledBatch
from octavo.errors import DataError
from octavo.metrics import Metric, get_metric
from octavo.metrics.agreement import Agreement
from octavo.workflow.reporter import Advance

Predict: TypeAlias = Callable[[Array | Batch], Array | dict[str, Array]]
"""A loaded model: takes an array (one input) or a dict of arrays, returns the same forms."""

MetricSource: TypeAlias = str | Callable[[Mapping[str, Array], Array], object]
"""The name of a metric, or a function of the user's as `octavo.metrics.get_metric` takes it."""

REMEMBERED_BYTES = 256 << 20


@dataclass(frozen=True)
class Evaluation:
    """One model's result.

    Attributes:
        value: of the metric.
        scores: one per sample, float64; None where only the value has a meaning.
        metric: its name.
        higher_is_better: its direction.
        samples: how many samples were judged; None where a function of the user's gave the score.
        unscored: the outputs cannot be compared (their sizes differ); `value` is NaN.
        outputs: the value of each output by name, where the metric is a mean over outputs.
    """

    value: float
    scores: FloatArray | None
    metric: str
    higher_is_better: bool
    samples: int | None
    unscored: bool = False
    outputs: Mapping[str, float] = field(default_factory=dict)


class Evaluator(Protocol):
    """Gives a model its score; called with the float model first."""

    def __call__(self, session: Session, advance: Advance) -> Evaluation:
        """Evaluate the model that `session` runs."""
        ...


class MetricEvaluator:
    """Evaluates by a metric of `octavo.metrics`, batch by batch.

    Outputs of the float model that a metric compares with are remembered up to 256 MB and computed
    again beyond that.

    Attributes:
        single_class: outputs in which the float model gives one class for all samples, so that
            `agreement` looks at their values too.
        ranked: outputs of values that the float model sorts, which are no class scores.
    """

    def __init__(
        self, metric: MetricSource, dataset: Dataset, batch_size: int, reference: Session
    ) -> None:
        """Prepare an evaluation.

        Args:
            metric: the metric.
            dataset: what to evaluate on.
            batch_size: samples of one forward.
            reference: runs the float model.
        """
        self._metric = metric
        self._dataset = dataset
        self._batch_size = batch_size
        self._reference: Session | None = reference
        self._remembered: dict[int, Mapping[str, Array]] = {}
        self._room = REMEMBERED_BYTES
        self.single_class: tuple[str, ...] = ()
        self.ranked: tuple[str, ...] = ()

    def __call__(self, session: Session, advance: Advance) -> Evaluation:
        """Evaluate the model that `session` runs on all samples."""
        special = self.single_class or self.ranked  # of `agreement` alone
        metric = Agreement(self.single_class, self.ranked) if special else get_metric(self._metric)
        scores, samples = [], 0
        for index, batch in enumerate(self._dataset.batches(self._batch_size)):
            scores.append(self._judge(metric, session, index, batch))
            samples += batch.samples
            advance(batch.samples)
        if isinstance(metric, Agreement) and session is self._reference:
            self.single_class, self.ranked = metric.single_class, metric.ranked
        if metric.needs == "labels" or len(self._remembered) == len(scores):
            self._reference = None  # a session can hold gigabytes
        joined = np.concatenate(scores) if metric.per_sample else None
        return Evaluation(
            metric.value(),
            joined,
            metric.name,
            metric.higher_is_better,
            samples,
            outputs=metric.outputs if isinstance(metric, Agreement) else {},
        )

    def _judge(
        self, metric: Metric, session: Session, index: int, batch: LabelledBatch
    ) -> FloatArray:
        outputs = session.run(batch.inputs)
        if metric.needs == "labels":
            assert batch.labels is not None
            return metric.update(outputs, batch.labels)
        return metric.update(outputs, self._expected(session, index, batch, outputs))

    def _expected(
        self, session: Session, index: int, batch: LabelledBatch, outputs: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        if index in self._remembered:
            return self._remembered[index]
        if self._reference is None:
            raise DataError(
                "the evaluation data gave more batches than before; expected the same every time"
            )
        if session is not self._reference:
            return self._reference.run(batch.inputs)
        size = sum(array.nbytes for array in outputs.values())
        if size <= self._room:
            self._remembered[index] = outputs
            self._room -= size
        return outputs


class UserEvaluator:
    """Evaluates by a function of the user's, which gives one score and nothing per sample."""

    def __init__(
        self,
        function: Callable[[Predict], float],
        name: str,
        higher_is_better: bool,
        predictor: Callable[[Session], Predict],
    ) -> None:
        """Prepare an evaluation.

        Args:
            function: takes a loaded model, returns its score.
            name: what to call the score.
            higher_is_better: its direction.
            predictor: turns a session into what the function is given.
        """
        self._function = function
        self._name = name
        self._higher_is_better = higher_is_better
        self._predictor = predictor

    def __call__(self, session: Session, advance: Advance) -> Evaluation:
        """Call the function.

        Raises:
            DataError: it does not return a number.
        """
        score = self._function(self._predictor(session))
        try:
            value = float(score)
        except (TypeError, ValueError):
            raise DataError(f"evaluate returned {score!r}; it must return one number") from None
        return Evaluation(value, None, self._name, self._higher_is_better, None)
