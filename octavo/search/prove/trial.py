"""One plan judged on one part of the evaluation data, sample by sample in random order."""

from __future__ import annotations

import math

import numpy as np

from octavo.arrays import FloatArray, IntArray
from octavo.errors import DataError, UsageError
from octavo.search.prove.bets import Bets
from octavo.search.prove.corpus import Estimate, Values, bootstrap
from octavo.search.prove.judges import Betting, Judge, Normal, Stage
from octavo.search.prove.looks import Looks
from octavo.search.prove.margin import Margin
from octavo.search.prove.sequence import Wealth
from octavo.search.prove.verdict import Basis, Decision

_LARGE = 100.0
"""A logarithm of capital beyond any use."""


class _Steps:
    """Hands out samples in order and counts them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.samples_seen = 0

    @property
    def left(self) -> int:
        """How many samples of this part were not evaluated yet."""
        return len(self._stage.order) - self.samples_seen

    @property
    def seen(self) -> IntArray:
        """The samples that were evaluated, int64 `[samples_seen]`."""
        return self._stage.order[: self.samples_seen]

    def next(self, most: int) -> IntArray:
        """Return the samples to evaluate next, int64 `[n]`, n <= `most`."""
        return self._stage.order[self.samples_seen : self.samples_seen + most]

    def _take(self, count: int) -> None:
        if count > self.left:
            raise DataError(f"scores of {count} samples, and {self.left} are left of this part")
        self.samples_seen += count


class Trial(_Steps):
    """A plan whose samples have scores.

        while trial.decision == "continue":
            indices = trial.next(batch_size)
            trial.add(fp32[indices], int8_scores_of(indices))

    More can be added after the decision, which then stays.

    Attributes:
        samples_seen: labelled forwards of the INT8 model in this part.
        differences: what is left of the tolerance for each, float64 `[samples_seen]`.
    """

    def __init__(self, margin: Margin, stage: Stage, earlier: FloatArray | None = None) -> None:
        """Begin.

        Args:
            margin: turns scores into differences.
            stage: the part of the data.
            earlier: differences of the same plan on other samples, which advise how to bet; None
                for the part that plans are searched on.
        """
        super().__init__(stage)
        self.differences: FloatArray = np.empty(0)
        self.fp32_sum = 0.0
        self._margin = margin
        self._judge: Judge = (
            Normal(margin, stage) if margin.bounds is None else Betting(margin, stage, earlier)
        )

    @property
    def basis(self) -> Basis:
        """How the decision comes about."""
        return self._judge.basis

    @property
    def shown(self) -> bool:
        """Whether the decision is shown at its level, and not the estimate at the part's end."""
        return self._judge.side != 0

    @property
    def shown_at(self) -> int | None:
        """After how many samples it was; None where it is not shown."""
        return self._judge.at

    @property
    def mean(self) -> float:
        """What is left of the tolerance in the mean, in the metric's units; NaN at first."""
        return float(self.differences.mean()) if self.samples_seen else math.nan

    @property
    def decision(self) -> Decision:
        """Whether to go on; at the end of the part the estimate decides."""
        if self.shown:
            return "accept" if self._judge.side > 0 else "reject"
        if self.left:
            return "continue"
        return "reject" if self.mean < 0 else "accept"

    def add(self, fp32: FloatArray, int8: FloatArray) -> Decision:
        """Take the scores of the samples that `next` gave, float64 `[n]` each.

        Raises:
            DataError: there are more than are left, or one is out of the metric's bounds.
        """
        found = self._margin.of(fp32, int8)
        self._take(len(found))
        self.differences = np.concatenate([self.differences, found])
        self.fp32_sum += float(np.sum(fp32))
        self._judge.add(np.asarray(fp32, np.float64), np.asarray(int8, np.float64))
        return self.decision

    def evidence(self, alpha: float, samples: int) -> float:
        """Return the capital of bets that the loss of the distribution is accepted, 0 or more.

        Args:
            alpha: the level of the proof that it is to help.
            samples: how many the plan will be evaluated on in the end.
        """
        low, high = self._margin.range()
        bets = Bets.spread(samples, alpha, low, high).hedged(samples, alpha, low, np.empty(0))
        capital = Wealth(low, bets).add(self.differences[None])[0]
        return math.exp(min(capital[-1], _LARGE)) if len(capital) else 1.0

    def again(self, stage: Stage) -> Trial:
        """Return the same plan on another part of the data, to be proven there."""
        return Trial(self._margin, stage, self.differences)


class CorpusTrial(_Steps):
    """A plan judged by a metric that only many samples have.

        while trial.decision == "continue":
            run_int8_on(trial.next_look())
            trial.look(values)

    Attributes:
        samples_seen: labelled forwards of the INT8 model in this part.
        estimate: what the last look found; None before the first.
    """

    basis: Basis = "bootstrap"

    def __init__(self, margin: Margin, stage: Stage) -> None:
        """Begin.

        Args:
            margin: the tolerance and the direction.
            stage: the part of the data.
        """
        super().__init__(stage)
        self.estimate: Estimate | None = None
        self._margin = margin
        self._looks = Looks(len(stage.order), stage.levels, stage.population)

    @property
    def shown(self) -> bool:
        """Whether the decision is shown at its level, and not the estimate at the part's end."""
        return self._looks.side != 0

    @property
    def shown_at(self) -> int | None:
        """After how many samples it was; None where it is not shown."""
        return self._looks.at

    @property
    def decision(self) -> Decision:
        """Whether to go on; at the end of the part the estimate decides."""
        if self.shown:
            return "accept" if self._looks.side > 0 else "reject"
        if self.left:
            return "continue"
        return "reject" if self.estimate is not None and self.estimate.margin < 0 else "accept"

    def next_look(self) -> IntArray:
        """Return the samples to evaluate before the next look; the rest after the last."""
        due = self._looks.due or len(self._stage.order)
        return self.next(due - self.samples_seen)

    def look(self, values: Values) -> Decision:
        """Take the samples that `next_look` gave as evaluated, and decide.

        Args:
            values: computes both models' values over samples that were evaluated.

        Raises:
            UsageError: all looks are done.
        """
        if self._looks.due is None:
            raise UsageError("all samples of this part were looked at")
        self._take(self._looks.due - self.samples_seen)
        seed = self._stage.seed + self.samples_seen
        found = bootstrap(values, self.seen, self._margin, seed)
        self._looks.look(found.margin, found.error, found.weight, found.tail)
        self.estimate = found
        return self.decision

    def again(self, stage: Stage) -> CorpusTrial:
        """Return the same plan on another part of the data, to be proven there."""
        return CorpusTrial(self._margin, stage)
