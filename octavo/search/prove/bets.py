"""How much is bet on a mean above 0: constant bets of many sizes, and a hedge for a known end.

With bounded differences d >= low, a bet L in [0, 1 / -low) multiplies the capital by 1 + L * d.
The best constant bet is about mean / variance, which nobody knows beforehand: the capital is
spread over sizes a factor of 1.41 apart and each part is left with what it won (a mixture, as in
Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024, and
Cover's universal portfolio). Its price is a factor of the number of sizes at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtri

from octavo.arrays import FloatArray

BOLDEST = 0.98
"""The part of the capital that the worst sample may take."""

_SPACING = math.sqrt(2.0)
_HEDGED = 0.5
_KEPT = 0.2
"""The part of the capital that stays spread evenly when bets were learned."""


@dataclass(frozen=True)
class Hedge:
    """A bet on the sum that will have been reached when all planned samples are seen.

    It copies the option that pays 1 / level where the sum of n samples exceeds what only a share
    `level` of random walks without drift exceed: its value under a normal law is
    Phi(u) / level, u = (sum - z * s * sqrt(n)) / (s * sqrt(n - t)), and the bet is the change of
    its logarithm with the sum. Toward the end it is bold where that is the last chance and
    careful where the bet is nearly won. The normal law only says how much to bet: a wrong one
    costs power and never validity, since what is bet depends on earlier samples alone.

    Attributes:
        horizon: how many samples there will be.
        level: of the test that is copied.
        count: of samples that the variance was estimated on, > 0.
        squares: the sum of their squares, > 0.
    """

    horizon: int
    level: float
    count: float
    squares: float

    def bets(self, seen: FloatArray, total: FloatArray, squares: FloatArray) -> FloatArray:
        """Return the bets, float64 `[runs, n]`, before they are bounded.

        Args:
            seen: how many samples came before each, `[n]`.
            total: their sums, `[runs, n]`.
            squares: the sums of their squares, `[runs, n]`.
        """
        left = np.maximum(self.horizon - seen, 1.0)
        deviation = np.sqrt((self.squares + squares) / (self.count + seen))
        spread = deviation * np.sqrt(left)
        goal = -ndtri(self.level) * deviation * math.sqrt(self.horizon)
        u = (total - goal) / spread
        hazard = np.exp(-0.5 * u * u - 0.5 * math.log(2 * math.pi) - log_ndtr(u))
        return np.where(seen < self.horizon, hazard / spread, 0.0)


@dataclass(frozen=True)
class Bets:
    """A mixture of bets.

    Attributes:
        fractions: what each constant bet loses of its capital at the worst sample, `[K]`.
        weights: the capital of each, then that of the hedge if there is one; they add up to 1.
        hedge: the bet on the sum at the end.
    """

    fractions: FloatArray
    weights: FloatArray
    hedge: Hedge | None = None

    @classmethod
    def spread(cls, samples: int, alpha: float, low: float, high: float) -> Bets:
        """Return constant bets of all sizes that matter within some samples, equally weighted.

        The smallest is the best one for the smallest mean that can be shown by then if the
        variance is as large as the bounds allow, -low * high.

        Args:
            samples: how many there will be at most.
            alpha: the level of the test.
            low: the least difference, below 0.
            high: the greatest difference, above 0.
        """
        least = math.sqrt(2 * math.log(1 / alpha) / max(samples, 1) * -low / high)
        steps = math.log(BOLDEST / min(least, BOLDEST / 2)) / math.log(_SPACING)
        fractions = np.asarray(BOLDEST / _SPACING ** np.arange(math.ceil(steps) + 1), np.float64)
        return cls(fractions, np.full(len(fractions), 1 / len(fractions)))

    def learned(self, log_wealth: FloatArray) -> Bets:
        """Return the bets with the capital spread by what each won on other samples, `[K]`.

        They start with a capital of 1 again: what was won counts as advice, not as evidence.
        """
        won = self.weights * np.exp(log_wealth - log_wealth.max())
        return Bets(self.fractions, _KEPT * self.weights + (1 - _KEPT) * won / won.sum())

    def hedged(self, horizon: int, alpha: float, low: float, earlier: FloatArray) -> Bets:
        """Return the bets with half the capital on the sum after `horizon` samples.

        Args:
            horizon: how many samples there will be.
            alpha: the level of the whole test.
            low: the least difference; one such sample is added to those that tell the variance.
            earlier: differences of other samples that tell the variance, `[n]`, n >= 0.
        """
        squares = low * low + float(np.square(earlier).sum())
        hedge = Hedge(horizon, alpha * _HEDGED, len(earlier) + 1.0, squares)
        weights = np.append((1 - _HEDGED) * self.weights, _HEDGED)
        return Bets(self.fractions, weights, hedge)
