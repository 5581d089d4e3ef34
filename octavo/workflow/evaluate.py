"""Running a model over labelled data, or against the float model, batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from octavo.backends.base import Session
from octavo.data.base import Dataset
from octavo.errors import DataError
from octavo.metrics import Metric, get_metric
from octavo.metrics.agreement import Agreement
from octavo.metrics.base import CorpusMetric
from octavo.workflow.evaluation import Evaluation, MetricSource, Predict
from octavo.workflow.reference import ReferenceOutputs
from octavo.workflow.reporter import Advance
from octavo.workflow.scoring import Scoring


class MetricEvaluator:
    """Evaluates by a metric of `octavo.metrics`: the float model first, on all samples in order.

    Attributes:
        samples: of the data, which the float model counts.
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
        self._outputs = ReferenceOutputs(reference)
        self.samples = 0
        self.single_class: tuple[str, ...] = ()
        self.ranked: tuple[str, ...] = ()

    def __call__(self, session: Session, advance: Advance) -> Evaluation:
        """Evaluate the model that `session` runs on all samples."""
        if not self.samples:
            return self._first(session, advance)
        scoring = self.scoring()
        scoring.add(session, np.arange(self.samples), advance)
        return scoring.evaluation()

    def scoring(self) -> Scoring:
        """Return what gathers the scores of a further model, for any samples."""
        return Scoring(
            self._new_metric(), self._dataset, self._batch_size, self._outputs, self.samples
        )

    @property
    def by_sample(self) -> bool:
        """Whether some samples can be judged without the others."""
        metric = get_metric(self._metric)
        apart = metric.needs == "labels" or self._outputs.by_sample
        return apart and (metric.per_sample or isinstance(metric, CorpusMetric))

    def _new_metric(self) -> Metric:
        special = self.single_class or self.ranked  # of `agreement` alone
        return Agreement(self.single_class, self.ranked) if special else get_metric(self._metric)

    def _first(self, session: Session, advance: Advance) -> Evaluation:
        """Evaluate the float model, whose outputs are remembered where others are compared."""
        metric = get_metric(self._metric)
        scores = []
        samples = 0
        for batch in self._dataset.batches(self._batch_size):
            outputs = session.run(batch.inputs)
            if metric.needs == "labels":
                assert batch.labels is not None
                scores.append(metric.update(outputs, batch.labels))
            else:
                scores.append(metric.update(outputs, outputs))
                self._outputs.add(outputs, batch.samples)
            samples += batch.samples
            advance(batch.samples)
        if metric.needs == "labels":
            self._outputs.release()
        self._outputs.end()
        self.samples = samples
        if isinstance(metric, Agreement):
            self.single_class, self.ranked = metric.single_class, metric.ranked
        return Evaluation(
            metric.value(),
            np.concatenate(scores) if metric.per_sample else None,
            metric.name,
            metric.higher_is_better,
            samples,
            outputs=metric.outputs if isinstance(metric, Agreement) else {},
            bounds=metric.bounds,
            value_of=metric.value_of if isinstance(metric, CorpusMetric) else None,
        )


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
