"""Tests by the normal law at a few planned looks, for what betting cannot judge.

Scores without bounds and metrics without scores per sample have no test that holds for any number
of samples: one sample that was not seen could outweigh all others. What is left is asymptotic. The
error is spent over the looks as by O'Brien and Fleming (Lan and DeMets, "Discrete sequential
boundaries for clinical trials", 1983), next to nothing at the first; each look gets what was spent
since the one before, which keeps the sum below alpha however the looks depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from octavo.arrays import FloatArray
from octavo.search.prove.sequence import Levels

SHARES = (0.25, 0.5, 1.0)
"""When it is looked, as shares of the planned samples."""


def planned_looks(samples: int) -> tuple[int, ...]:
    """Return after how many samples it is looked; fewer looks where there are next to none."""
    return tuple(sorted({math.ceil(share * samples) for share in SHARES} - {0}))


def spent(planned: Sequence[int], alpha: float) -> FloatArray:
    """Return the error that each look may make, float64 `[looks]`; together alpha.

    Until a share t of the samples it is 2 - 2 * Phi(z / sqrt(t)), z the quantile of alpha / 2.
    """
    share = np.asarray(planned, np.float64) / planned[-1]
    until = 2 * norm.sf(norm.isf(alpha / 2) / np.sqrt(share))
    return np.diff(until, prepend=0.0)


class Looks:
    """Decides at planned looks on which side of 0 a margin lies.

    Attributes:
        planned: after how many samples it is looked.
        side: 1 where a margin >= 0 is shown, -1 for one < 0, 0 where neither is.
        at: after how many samples it was; None where nothing is shown.
    """

    def __init__(self, samples: int, levels: Levels, population: int | None = None) -> None:
        """Plan the looks.

        Args:
            samples: how many there will be.
            levels: of the errors.
            population: how many samples there are, None for independent draws.
        """
        self.planned = planned_looks(samples)
        self.side = 0
        self.at: int | None = None
        self._population = population
        self._done = 0
        if self.planned:
            self._above = spent(self.planned, levels.above)
            self._below = spent(self.planned, levels.below)

    @property
    def due(self) -> int | None:
        """After how many samples the next look is; None after the last."""
        return self.planned[self._done] if self._done < len(self.planned) else None

    def look(self, margin: float, error: float, weight: float, tail: float = 0.0) -> int:
        """Take what the samples until `due` say; return the side.

        The error is that at a margin of 0: losses enough to bring it there would add a variance of
        `weight` times the margin to each sample, as in Wilson's interval. Without it rare losses,
        of which a lucky sample sees few and so a small error too, are passed twice as often as
        stated. Nothing is shown either that samples could turn round of which none was seen yet: a
        share r of all is missed by n samples with a probability of exp(-n * r). Models that agree
        on all of ten samples are not proven equal.

        Args:
            margin: what is left of the tolerance.
            error: its standard error for independent samples.
            weight: what one sample can weigh: 1 / n of it is what it moves the margin of n by.
            tail: a second estimate of the probability of a margin on the other side of 0.
        """
        samples = self.planned[self._done]
        levels = float(self._above[self._done]), float(self._below[self._done])
        self._done += 1
        if self.side or not margin or not math.isfinite(margin) or not math.isfinite(error):
            return self.side
        size = abs(margin)
        left = 1.0 if self._population is None else 1 - samples / self._population
        spread = math.sqrt((error**2 + weight * size / samples) * left)
        chance = float(norm.sf(size / spread)) if spread > 0 else 0.0
        unseen = math.exp(-samples * min(1.0, size / weight)) if weight > 0 else 0.0
        if max(chance, unseen, tail) <= levels[0 if margin > 0 else 1]:
            self.side = 1 if margin > 0 else -1
            self.at = samples
        return self.side
