"""The whole walk: plans are searched on one part of the data, the winner is proven on the other.

Three errors are kept apart:

- Search. Each plan sees the same samples in the same order. It is accepted or rejected early where
  it is shown, without replacement, what all evaluation data would give; plan k has the level
  alpha / (k * (k + 1)) to be accepted wrongly, so that the sum over any number of plans is alpha.
  These are decisions and no claims: later plans are made knowing how earlier ones did.
- Proof. The winner, once, on samples that no plan was chosen by. The claim is of the distribution
  that the samples come from, wrong with a probability of alpha at most (exactly so for scores with
  bounds; for many samples only, for others).
- Conclusion. What is not shown is told by the point estimate over all samples of the winner.

Where `first_counts`, the first plan keeps what it showed on the search part: it was made before any
plan was judged, so that no search saw these samples when it was chosen. Its capital on them is E,
in expectation 1 at most, and its proof begins with (1 + E) / 2, that of any other plan with 1 / 2.
Whichever wins, the expectation of what a plan beyond the tolerance begins with is 1 at most, and so
is its chance to reach 1 / alpha alpha at most. Where the first plan mostly wins this proves far
more, and costs the others a level of alpha / 2.

The order is random whatever the order of the data, and labels do not enter: drawing classes in
turn would make samples dependent, and the claims are of independent ones.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np

from octavo.arrays import IntArray
from octavo.errors import UsageError
from octavo.search.prove.corpus import Values, bootstrap
from octavo.search.prove.judges import Stage
from octavo.search.prove.margin import Margin
from octavo.search.prove.sequence import Levels
from octavo.search.prove.trial import CorpusTrial, Trial
from octavo.search.prove.verdict import Conclusion, measured, standard_error

ALPHA = 0.05
SEARCH_SHARE = 0.5
_WEAKEST = 0.5
"""The weakest level of a proof, however much counts from before."""

_AnyTrial = TypeVar("_AnyTrial", Trial, CorpusTrial)


def split(samples: int, seed: int, search_share: float = SEARCH_SHARE) -> tuple[IntArray, IntArray]:
    """Return the samples to search on and those to prove on, each in random order, int64.

    Args:
        samples: how many there are.
        seed: of the order.
        search_share: the part to search on, 0 <= share < 1.

    Raises:
        UsageError: there is no sample to prove on.
    """
    if samples < 1 or not 0 <= search_share < 1:
        raise UsageError(f"cannot leave a part to prove on of {samples} samples")
    order = np.random.default_rng(seed).permutation(samples).astype(np.int64)
    searched = int(samples * search_share)
    return order[:searched], order[searched:]


class Walk:
    """Keeps the order of samples, the errors that may be made, and count of what was spent.

    Attributes:
        samples: of the evaluation data.
        margin: the tolerance and the scores' bounds.
        alpha: the probability to say `proven` of a loss beyond the tolerance.
        proof: the winner on the part to prove on; None until `prove`.
    """

    def __init__(
        self,
        samples: int,
        margin: Margin,
        *,
        seed: int = 0,
        alpha: float = ALPHA,
        search_share: float = SEARCH_SHARE,
        first_counts: bool = False,
    ) -> None:
        """Split the data.

        Args:
            samples: how many there are.
            margin: the tolerance and the scores' bounds.
            seed: of the order and of resampling.
            alpha: the level of the proof, one-sided.
            search_share: the part of the data to search on.
            first_counts: whether the evidence of the search part counts for the first plan, which
                must have been made without knowing how any plan did on these data. It has an
                effect on scores with bounds alone.

        Raises:
            UsageError: there is no sample to prove on.
        """
        self.samples = samples
        self.margin = margin
        self.alpha = alpha
        self.proof: Trial | CorpusTrial | None = None
        self._winner: Trial | CorpusTrial | None = None
        self._trials: list[Trial | CorpusTrial] = []
        self._seed = seed
        self._first_counts = first_counts
        self._search, self._proof = split(samples, seed, search_share)

    def order(self, stage: Literal["search", "proof"]) -> IntArray:
        """Return the samples of a part in the order in which they are evaluated, int64 `[n]`."""
        return self._search if stage == "search" else self._proof

    def trial(self) -> Trial:
        """Begin to judge a further plan by its samples' scores.

        Raises:
            UsageError: the winner is being proven already.
        """
        return self._begin(Trial(self.margin, self._next_stage()))

    def corpus_trial(self) -> CorpusTrial:
        """Begin to judge a further plan by a metric that only many samples have.

        Raises:
            UsageError: the winner is being proven already.
        """
        return self._begin(CorpusTrial(self.margin, self._next_stage()))

    def _begin(self, trial: _AnyTrial) -> _AnyTrial:
        self._trials.append(trial)
        return trial

    def _next_stage(self) -> Stage:
        if self.proof is not None:
            raise UsageError("the winner is being proven; a further plan needs a walk of its own")
        plan = len(self._trials) + 1
        levels = Levels(self.alpha / (plan * (plan + 1)), self.alpha)
        return Stage(self._search, levels, self.samples, self._seed)

    def prove(self, winner: _AnyTrial) -> _AnyTrial:
        """Begin to prove the plan that was chosen: the trial's twin on the other part.

        `accept` is shown there where `shown` is true: then the verdict is `proven`.

        Raises:
            UsageError: a plan was proven before; the part is no longer unseen.
        """
        if self.proof is not None:
            raise UsageError("one plan is proven in a walk: the part is no longer unseen by others")
        levels = Levels(self._proof_level(winner), self.alpha)
        proof = winner.again(Stage(self._proof, levels, None, self._seed + 1))
        self._winner, self.proof = winner, proof
        return proof

    def _proof_level(self, winner: Trial | CorpusTrial) -> float:
        if not self._first_counts or not isinstance(winner, Trial) or winner.basis != "betting":
            return self.alpha
        if winner is not self._trials[0]:
            return self.alpha / 2
        return min(_WEAKEST, self.alpha * (1 + winner.evidence(self.alpha, self.samples)) / 2)

    @property
    def forwards(self) -> int:
        """Labelled forwards of INT8 models so far."""
        proof = self.proof.samples_seen if self.proof is not None else 0
        return proof + sum(trial.samples_seen for trial in self._trials)

    @property
    def evaluations(self) -> float:
        """Labelled forwards of INT8 models so far, as a share of the evaluation data."""
        return self.forwards / self.samples

    def conclusion(self, values: Values | None = None) -> Conclusion:
        """Return what may be said of the winner after what was evaluated so far.

        It is about all samples once they were added to both of its trials, after their decisions
        too. `proven` falls back to `exceeded` where the loss that was measured is too large.

        Args:
            values: of a metric that only many samples have.

        Raises:
            UsageError: nothing was proven yet, or `values` is missing.
        """
        winner, proof = self._winner, self.proof
        if winner is None or proof is None:
            raise UsageError("no plan was given to prove")
        margin, slack, error = self._measure(winner, proof, values)
        verdict = measured(margin, slack, error)
        if proof.shown and verdict != "exceeded":
            verdict = "proven" if proof.decision == "accept" else "exceeded"
        return Conclusion(
            verdict=verdict,
            basis=proof.basis,
            alpha=self.alpha,
            samples=winner.samples_seen + proof.samples_seen,
            proof_samples=proof.samples_seen,
            proof_at=proof.shown_at,
            margin=margin,
            standard_error=error,
        )

    def _measure(
        self, winner: Trial | CorpusTrial, proof: Trial | CorpusTrial, values: Values | None
    ) -> tuple[float, float, float]:
        """Return the margin over all samples of the winner, the tolerance and the error."""
        if isinstance(winner, Trial) and isinstance(proof, Trial):
            differences = np.concatenate([winner.differences, proof.differences])
            if not len(differences):
                return math.nan, 0.0, math.inf
            low = None if self.margin.bounds is None else self.margin.range()[0]
            fp32 = (winner.fp32_sum + proof.fp32_sum) / len(differences)
            error = standard_error(differences, low)
            return float(differences.mean()), self._slack(fp32), error
        if values is None:
            raise UsageError("give what computes the metric's values over given samples")
        found = bootstrap(
            values, np.concatenate([winner.seen, proof.seen]), self.margin, self._seed + 2
        )
        return found.margin, self._slack(found.fp32), found.error

    def _slack(self, fp32: float) -> float:
        tolerance = self.margin.tolerance
        return tolerance.value * (fp32 if tolerance.relative else 1.0)
