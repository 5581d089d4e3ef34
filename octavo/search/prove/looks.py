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

    def look(self, margin: float, error: float, scale: float, tail: float = 0.0) -> int:
        """Take what the samples until `due` say; return the side.

        Nothing is shown that samples of which none was seen yet could turn round: n samples miss a
        kind that makes up a share r of all with a probability of exp(-n * r), and each is taken to
        count as much as `scale`. Models that agree on all of ten samples are not proven equal.

        Args:
            margin: what is left of the tolerance.
            error: its standard error for independent samples.
            scale: what one sample can count, as the greatest score.
            tail: a second estimate of the probability of a margin on the other side of 0.
        """
        samples = self.planned[self._done]
        if self._population is not None:
            error *= math.sqrt(max(0.0, 1 - samples / self._population))
        above, below = float(self._above[self._done]), float(self._below[self._done])
        self._done += 1
        if self.side == 0 and math.isfinite(margin) and math.isfinite(error):
            chance = float(norm.sf(abs(margin) / error)) if error > 0 else 0.0
            unseen = math.exp(-samples * min(1.0, abs(margin) / scale)) if scale > 0 else 0.0
            if margin != 0 and max(chance, unseen, tail) <= (above if margin > 0 else below):
                self.side = 1 if margin > 0 else -1
                self.at = samples
        return self.side
