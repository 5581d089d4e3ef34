"""Time-uniform tests of the mean of bounded differences, by betting.

Whoever bets against "the mean is below 0" on samples in random order wins nothing in expectation
where that is true: the capital is a non-negative supermartingale, and by Ville's inequality it
ever reaches 1 / alpha with probability alpha at most, however often one looks (Waudby-Smith and
Ramdas, "Estimating means of bounded random variables by betting", 2024, sections 4 and 5;
"Confidence sequences for sampling without replacement", 2020).

Two populations can be meant, and the claims differ:

- None: samples are independent draws, and the claim is about the distribution that they come from.
  The verdict `proven` is of this kind.
- N: samples are drawn without replacement from N that exist, and the claim is about the mean of
  these N: what evaluating all of them would give. What is left to come is known the better the
  more was seen, and after N samples the mean is known exactly, which proves nothing about others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from octavo.arrays import FloatArray
from octavo.search.prove.bets import BOLDEST, Bets

_ROUNDING = 1e-9
_AT_ONCE = 1 << 20
"""Numbers that are held for the bets of a part of a batch."""


class Wealth:
    """The capital of bets on a mean above 0, for many runs at once; it begins with 1.

    Attributes:
        seen: samples so far.
        total: their sums, float64 `[runs]`.
        squares: the sums of their squares, float64 `[runs]`.
        logs: the logarithm of what each bet made of 1, float64 `[runs, bets]`.
    """

    def __init__(
        self, low: float, bets: Bets, *, population: int | None = None, runs: int = 1
    ) -> None:
        """Begin.

        Args:
            low: the least difference, below 0.
            bets: what is bet; without a hedge where there is a population.
            population: how many samples there are, None for independent draws.
            runs: independent repetitions that are computed together.
        """
        self.seen = 0
        self.total = np.zeros(runs)
        self.squares = np.zeros(runs)
        self.logs = np.zeros((runs, len(bets.weights)))
        self._low = low
        self._bets = bets
        self._population = population
        self._certain = np.zeros(runs, dtype=bool)

    def add(self, differences: FloatArray) -> FloatArray:
        """Take samples `[runs, n]`; return the logarithm of the capital after each, `[runs, n]`."""
        step = max(1, _AT_ONCE // self.logs.size)
        parts = [
            self._add(differences[:, i : i + step]) for i in range(0, differences.shape[1], step)
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(self.total), 0))

    def _add(self, x: FloatArray) -> FloatArray:
        seen = self.seen + np.arange(x.shape[1], dtype=np.float64)
        total = self.total[:, None] + np.cumsum(x, axis=1)
        null, growth = self._null(total - x, seen)
        room = null - self._low  # what the worst sample is below the mean that H0 allows
        certain = np.maximum.accumulate(
            (room < _ROUNDING * self._low) | self._certain[:, None], axis=1
        )
        bounded = BOLDEST / np.maximum(room, -_ROUNDING * self._low)
        bets = self._sizes(x, seen, total - x, growth)
        gains = np.log1p(np.minimum(bets, bounded[..., None]) * (x - null)[..., None])
        logs = self.logs[:, None] + np.cumsum(gains, axis=1)
        self.seen += x.shape[1]
        self.total = total[:, -1]
        self.squares = self.squares + np.square(x).sum(axis=1)
        self.logs = logs[:, -1]
        self._certain = certain[:, -1]
        return np.where(certain, np.inf, _mixed(logs, self._bets.weights))

    def _null(self, before: FloatArray, seen: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the greatest mean of the next sample where that of all is <= 0.

        Beside it stands by how much bets grow: the less is left, the surer its mean is known.
        """
        if self._population is None:
            return np.zeros_like(before), np.ones_like(seen)
        left = self._population - seen
        return -before / left, self._population / left

    def _sizes(
        self, x: FloatArray, seen: FloatArray, before: FloatArray, growth: FloatArray
    ) -> FloatArray:
        """Return the bets before they are bounded, `[runs, n, bets]`."""
        rates = self._bets.fractions / -self._low
        constant = growth[:, None] * rates
        sizes = np.broadcast_to(constant, (*before.shape, len(rates)))
        if self._bets.hedge is None:
            return sizes
        squares = self.squares[:, None] + np.cumsum(x * x, axis=1) - x * x
        hedge = self._bets.hedge.bets(seen, before, squares)
        return np.concatenate([sizes, hedge[..., None]], axis=-1)


def _mixed(logs: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the logarithm of the weighted sum over the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(logs - top) @ weights) + top[..., 0])


@dataclass(frozen=True)
class Levels:
    """The error that a test may make on either side.

    Attributes:
        above: the probability to show a mean >= 0 that is below.
        below: the probability to show a mean < 0 that is not.
    """

    above: float
    below: float


class Sequence:
    """Looks after every sample whether it is shown on which side of 0 the mean lies.

    Results do not depend on how samples are split into batches.

    Attributes:
        side: int `[runs]`: 1 where a mean >= 0 is shown, -1 for one < 0, 0 where neither is.
        at: how many samples it took, int `[runs]`; all so far where nothing is shown.
    """

    def __init__(
        self,
        bounds: tuple[float, float],
        levels: Levels,
        bets: tuple[Bets, Bets],
        *,
        population: int | None = None,
        runs: int = 1,
    ) -> None:
        """Begin.

        Args:
            bounds: the least difference, below 0, and the greatest, above 0.
            levels: of the errors.
            bets: on a mean above 0 and on one below.
            population: how many samples there are, None for independent draws.
            runs: independent repetitions that are computed together.
        """
        low, high = bounds
        self._above = Wealth(low, bets[0], population=population, runs=runs)
        self._below = Wealth(-high, bets[1], population=population, runs=runs)
        self._levels = levels
        self._low = low
        self._population = population
        self.side = np.zeros(runs, dtype=np.int64)
        self.at = np.zeros(runs, dtype=np.int64)

    @property
    def seen(self) -> int:
        """Samples so far."""
        return self._above.seen

    @property
    def mean(self) -> FloatArray:
        """The mean of the samples so far, float64 `[runs]`; NaN before the first."""
        return self._above.total / self.seen if self.seen else np.full(len(self.side), np.nan)

    def add(self, differences: FloatArray) -> None:
        """Take samples, float64 `[runs, n]`."""
        start, count = self.seen, differences.shape[1]
        above = self._above.add(differences) >= math.log(1 / self._levels.above)
        below = self._below.add(-differences) >= math.log(1 / self._levels.below)
        if count and self.seen == self._population:  # the mean is known
            known = self._above.total >= _ROUNDING * self._population * self._low
            above[:, -1] |= known
            below[:, -1] |= ~known
        either = above | below
        first = either.argmax(axis=1) if count else np.zeros(len(self.side), dtype=np.int64)
        runs = np.arange(len(self.side))
        fresh = (self.side == 0) & (either[runs, first] if count else False)
        self.at = np.where(self.side == 0, self.seen, self.at)
        self.at = np.where(fresh, start + first + 1, self.at)
        if count:
            self.side = np.where(fresh, np.where(above[runs, first], 1, -1), self.side)


def lower_bound(
    differences: FloatArray,
    bounds: tuple[float, float],
    alpha: float,
    *,
    population: int | None = None,
) -> float:
    """Return a lower bound of the mean that holds whenever one stops, with 1 - alpha confidence.

    All smaller means are rejected by constant bets of all sizes, equally weighted. Time is
    samples x bets x 40.

    Args:
        differences: in random order, float64 `[n]`.
        bounds: the least and the greatest difference.
        alpha: the error over all times at which one might look.
        population: how many samples there are, None for independent draws.
    """
    low, high = bounds
    span = high - low
    bets = Bets.spread(population or max(len(differences), 1), alpha, -span / 2, span / 2)
    rejected, kept = low, high
    for _ in range(40):
        mean = 0.5 * (rejected + kept)
        wealth = Wealth(low - mean, bets, population=population).add((differences - mean)[None])
        if wealth.size and wealth.max() >= math.log(1 / alpha):
            rejected = mean
        else:
            kept = mean
    return rejected
