"""The scores of one model, gathered for any samples in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    _known: FloatArray = field(init=False, repr=False)
    _arrival: IntArray = field(init=False, repr=False)
    _count: int = field(default=0, init=False)
    _restored: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._scores = np.full(self.size, np.nan)
        self._known = np.full(self.size, np.nan)
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
        known = indices[np.isfinite(self._known[indices])]
        if len(known):
            self._restored = True
            self._enter(known, self._known[known])
            advance(len(known))
        ordered = np.sort(np.setdiff1d(indices, known))
        if not len(ordered):
            return
        done = 0
        for batch in pick(self.dataset, ordered, self.batch_size):
            chosen = ordered[done : done + batch.samples]
            scores = self.metric.update(session.run(batch.inputs), self._target(chosen, batch))
            self._enter(chosen, scores)
            done += batch.samples
            advance(batch.samples)

    def _enter(self, indices: IntArray, scores: FloatArray) -> None:
        if self.metric.per_sample:
            self._scores[indices] = scores
        self._arrival[indices] = self._count + np.arange(len(indices))
        self._count += len(indices)

    def _target(self, indices: IntArray, batch: LabelledBatch) -> Array | Mapping[str, Array]:
        if self.metric.needs == "labels":
            assert batch.labels is not None
            return batch.labels
        return self.reference.of(indices, batch.inputs)

    def remember(self, scores: FloatArray) -> None:
        """Take what an earlier run found, so that these samples need not run through the model.

        Args:
            scores: by sample, NaN for those that are not known, float64 `[size]`.
        """
        self._known = scores

    def to_json(self) -> list[float | None] | None:
        """Return scores by sample, None for those that were not added; None without scores."""
        if not self.metric.per_sample:
            return None
        return [None if math.isnan(one) else one for one in self._scores.tolist()]

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
