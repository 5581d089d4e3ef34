"""What is said in the end of the plan that was chosen, and no more than the data can carry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from octavo.arrays import FloatArray

Verdict: TypeAlias = Literal["proven", "within", "undecided", "exceeded"]
"""`proven`: the loss of the distribution that the samples come from is accepted, shown on samples
that no search saw with an error of alpha at most. `within`: the measured loss is accepted, which
is no proof. `undecided`: it would be, and the sample is so small that chance alone moves the
result by more than the tolerance. `exceeded`: the measured loss is too large, or shown to be."""

Decision: TypeAlias = Literal["continue", "accept", "reject"]
"""Of a plan: more samples are wanted; go on with it; leave it."""

Basis: TypeAlias = Literal["betting", "normal", "bootstrap"]
"""How a decision comes about. `betting` holds for any number of samples; `normal` (unbounded
scores) and `bootstrap` (metrics without scores per sample) hold for many samples only."""

_CLEAR = 2.0  # standard errors beyond which even a small sample decides
_FEW = 10  # samples below which the spread of their scores tells too little of its own size


@dataclass(frozen=True)
class Conclusion:
    """What is known of the plan that was chosen.

    Attributes:
        verdict: what may be said.
        basis: how `proven` was, or would have been, shown.
        alpha: the probability that `proven` is said of a loss beyond the tolerance.
        samples: how many the plan was evaluated on, those of the search included.
        proof_samples: how many of them no search saw.
        proof_at: after how many of these the proof was there, or that the loss is too large; None
            where neither was shown.
        margin: what is left of the tolerance, in the metric's units, over all samples.
        standard_error: of `margin`; infinite where it cannot be told.
    """

    verdict: Verdict
    basis: Basis
    alpha: float
    samples: int
    proof_samples: int
    proof_at: int | None
    margin: float
    standard_error: float


def standard_error(differences: FloatArray, low: float | None) -> float:
    """Return the standard error of the mean of differences, infinite for fewer than two.

    Hits and misses have none where two models never disagree, however few the samples. As in
    Laplace's rule of succession, one more sample is therefore counted that is as bad as can be.
    Scores that differ from sample to sample show by themselves how much they vary.

    Args:
        differences: float64 `[n]`.
        low: the least that one can be; None where there is no bound.
    """
    if len(differences) < 2:
        return math.inf
    varied = len(differences) >= _FEW and 2 * len(np.unique(differences)) > len(differences)
    if low is not None and not varied:
        differences = np.append(differences, low)
    return float(np.std(differences, ddof=1) / math.sqrt(len(differences)))


def measured(margin: float, slack: float, error: float) -> Verdict:
    """Return the verdict on what was measured, where nothing is shown.

    Args:
        margin: what is left of the tolerance.
        slack: the tolerance in the metric's units.
        error: the standard error of `margin`.
    """
    if not margin >= -1e-12 * max(1.0, slack):  # also for NaN
        return "exceeded"
    return "undecided" if error > slack and margin < _CLEAR * error else "within"
