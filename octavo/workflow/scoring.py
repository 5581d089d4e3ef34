"""The scores of one model, gathered for any samples in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from octavo.arrays import Array, FloatArray, IntArray
from octavo.backends.base import Session
from octavo.data.base import Dataset, LabelledBatch
from octavo.data.checked import pick
from octavo.metrics import Metric
from octavo.metrics.agreement import Agreement
from octavo.metrics.base import CorpusMetric
from octavo.workflow.evaluation import Evaluation
from octavo.workflow.reference import ReferenceOutputs
from octavo.workflow.reporter import Advance


@dataclass
class Scoring:
    """One model's scores so far.

    Attributes:
        metric: gathers what it is given; new for each model.
        dataset: the evaluation data.
        batch_size: samples of one forward.
        reference: outputs of the float model.
        size: how many samples the data hold.
    """

    metric: Metric
    dataset: Dataset
    batch_size: int
    reference: ReferenceOutputs
    size: int
    _scores: FloatArray = field(init=False, repr=False)
    _arrival: IntArray = field(init=False, repr=False)
    _count: int = field(default=0, init=False)
    _restored: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._scores = np.full(self.size, np.nan)
        self._arrival = np.full(self.size, -1, np.int64)

    def add(self, session: Session, indices: IntArray, advance: Advance) -> None:
        """Run further samples through the model.

        Args:
            session: runs the model.
            indices: samples that were not added before, int64 `[n]`.
            advance: is told how many are done.

        Raises:
            NonFiniteError: an output is not finite.
            UnequalSizesError: outputs cannot be compared.
        """
        ordered = np.sort(indices)
        done = 0
        for batch in pick(self.dataset, ordered, self.batch_size):
            chosen = ordered[done : done + batch.samples]
            scores = self.metric.update(session.run(batch.inputs), self._target(chosen, batch))
            if self.metric.per_sample:
                self._scores[chosen] = scores
            self._arrival[chosen] = self._count + np.arange(len(chosen))
            self._count += len(chosen)
            done += batch.samples
            advance(batch.samples)

    def _target(self, indices: IntArray, batch: LabelledBatch) -> Array | Mapping[str, Array]:
        if self.metric.needs == "labels":
            assert batch.labels is not None
            return batch.labels
        return self.reference.of(indices, batch.inputs)

    def restore(self, indices: Sequence[int], scores: Sequence[float]) -> None:
        """Take scores that an earlier run found, of a metric that is a mean of them."""
        chosen = np.asarray(indices, np.int64)
        self._scores[chosen] = scores
        self._arrival[chosen] = self._count + np.arange(len(chosen))
        self._count += len(chosen)
        self._restored = self._restored or bool(len(chosen))

    def of(self, indices: IntArray) -> FloatArray:
        """Return the scores of samples that were added, in the given order, float64 `[n]`."""
        return self._scores[indices]

    @property
    def seen(self) -> IntArray:
        """The samples that were added, int64 `[n]`, ascending."""
        return np.flatnonzero(self._arrival >= 0)

    def value_of(self, indices: IntArray) -> float:
        """Return the metric over samples that were added, which may repeat.

        Args:
            indices: int64 `[n]`.
        """
        if isinstance(self.metric, CorpusMetric):
            return self.metric.value_of(self._arrival[indices])
        return float(self._scores[indices].mean())

    def _outputs(self) -> Mapping[str, float]:
        if self._restored or not isinstance(self.metric, Agreement):
            return {}
        return self.metric.outputs

    def evaluation(self) -> Evaluation:
        """Return the result over all samples that were added."""
        metric, seen = self.metric, self.seen
        return Evaluation(
            self.value_of(seen),
            self._scores[seen] if metric.per_sample else None,
            metric.name,
            metric.higher_is_better,
            len(seen),
            outputs=self._outputs(),
            bounds=metric.bounds,
            value_of=self.value_of if isinstance(metric, CorpusMetric) else None,
        )
