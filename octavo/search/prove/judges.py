"""What decides on a plan whose samples have scores: bets where these have bounds, else looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from octavo.arrays import FloatArray, IntArray
from octavo.search.prove.bets import Bets
from octavo.search.prove.looks import Looks
from octavo.search.prove.margin import Margin
from octavo.search.prove.sequence import Levels, Sequence, Wealth
from octavo.search.prove.verdict import Basis


@dataclass(frozen=True)
class Stage:
    """A part of the evaluation data and what is asked of it.

    Attributes:
        order: the samples in the order in which they are evaluated, int64 `[n]`.
        levels: of the errors.
        population: of which the claim is: all evaluation data, or None for their distribution.
        seed: of resampling.
    """

    order: IntArray
    levels: Levels
    population: int | None
    seed: int


class Judge(Protocol):
    """Says on which side of 0 the mean lies."""

    basis: Basis

    @property
    def side(self) -> int:
        """1 where a mean >= 0 is shown, -1 for one < 0, 0 where neither is."""
        ...

    @property
    def at(self) -> int | None:
        """After how many samples it was; None where nothing is shown."""
        ...

    def add(self, fp32: FloatArray, int8: FloatArray) -> None:
        """Take the scores of further samples, float64 `[n]` each."""
        ...


class Betting:
    """Bets on both sides."""

    basis: Basis = "betting"

    def __init__(self, margin: Margin, stage: Stage, earlier: FloatArray | None) -> None:
        low, high = margin.range()
        levels, samples = stage.levels, len(stage.order)
        self._margin = margin
        self._sequence = Sequence(
            (low, high),
            levels,
            (
                proof_bets((low, high), levels.above, samples, earlier),
                proof_bets((-high, -low), levels.below, samples, _negated(earlier)),
            ),
            population=stage.population,
        )

    @property
    def side(self) -> int:
        """1 where a mean >= 0 is shown, -1 for one < 0, 0 where neither is."""
        return int(self._sequence.side[0])

    @property
    def at(self) -> int | None:
        """After how many samples it was; None where nothing is shown."""
        return int(self._sequence.at[0]) if self.side else None

    def add(self, fp32: FloatArray, int8: FloatArray) -> None:
        """Take the scores of further samples, float64 `[n]` each."""
        self._sequence.add(self._margin.of(fp32, int8)[None])


def _negated(differences: FloatArray | None) -> FloatArray | None:
    return None if differences is None else -differences


def proof_bets(
    bounds: tuple[float, float], alpha: float, samples: int, earlier: FloatArray | None
) -> Bets:
    """Return the bets on a mean above 0 within some samples.

    Args:
        bounds: the least difference, below 0, and the greatest, above 0.
        alpha: the level.
        samples: how many there will be at most.
        earlier: differences of other samples that advise how to bet and tell the variance; None
            where there are none, and then there is no hedge either.
    """
    low, high = bounds
    bets = Bets.spread(samples, alpha, low, high)
    if earlier is None:
        return bets
    advice = Wealth(low, bets)
    advice.add(earlier[None])
    return bets.learned(advice.logs[0]).hedged(max(samples, 1), alpha, low, earlier)


class Normal:
    """Looks at the mean by its standard error."""

    basis: Basis = "normal"

    def __init__(self, margin: Margin, stage: Stage) -> None:
        self._margin = margin
        self._looks = Looks(len(stage.order), stage.levels, stage.population)
        self._scores = np.empty((2, 0))

    @property
    def side(self) -> int:
        """1 where a mean >= 0 is shown, -1 for one < 0, 0 where neither is."""
        return self._looks.side

    @property
    def at(self) -> int | None:
        """After how many samples it was; None where nothing is shown."""
        return self._looks.at

    def add(self, fp32: FloatArray, int8: FloatArray) -> None:
        """Take the scores of further samples, float64 `[n]` each."""
        self._scores = np.concatenate([self._scores, np.stack([fp32, int8])], axis=1)
        while (due := self._looks.due) is not None and due <= self._scores.shape[1]:
            scores = self._scores[:, :due]
            found = self._margin.of(*scores)
            error = float(np.std(found, ddof=1) / math.sqrt(due)) if due > 1 else math.inf
            self._looks.look(float(found.mean()), error, float(np.abs(scores).max()))
