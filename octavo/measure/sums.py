"""Sums without rounding: the order and the grouping of what is added cannot be seen in them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.measure.samples import BLOCK


@dataclass(frozen=True)
class ExactSum:
    """The exact sum of any number of floats.

    It is held as an expansion: the sum rounded to a float, then what is missing rounded to a
    float, and so on until nothing is. The expansion depends on nothing but the exact value, so
    that equal sums have equal states however they came about (Shewchuk 1997, "Adaptive Precision
    Floating-Point Arithmetic"; `math.fsum` does the work).

    Attributes:
        parts: the expansion, the largest part first; a handful of floats.
    """

    parts: tuple[float, ...] = ()

    def plus(self, values: Iterable[float]) -> ExactSum:
        """Return the sum with finite `values` added, whose total must not overflow."""
        terms = [*self.parts, *values]
        parts: list[float] = []
        while part := math.fsum(terms):
            parts.append(part)
            terms.append(-part)
        return ExactSum(tuple(parts))

    @property
    def exact(self) -> Fraction:
        """The sum as a rational number."""
        return sum(map(Fraction, self.parts), Fraction(0))


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares.

    Attributes:
        count: number of values.
        total: their sum.
        squares: the sum of their squares.
    """

    count: int = 0
    total: ExactSum = ExactSum()
    squares: ExactSum = ExactSum()

    def plus(self, other: Moments) -> Moments:
        """Return the moments of the values of both."""
        return Moments(
            self.count + other.count,
            self.total.plus(other.total.parts),
            self.squares.plus(other.squares.parts),
        )

    @property
    def mean(self) -> float:
        """The mean; NaN without values."""
        return float(self.total.exact / self.count) if self.count else math.nan

    @property
    def variance(self) -> float:
        """The mean squared distance from the mean; NaN without values."""
        if not self.count:
            return math.nan
        mean = self.total.exact / self.count
        return max(0.0, float(self.squares.exact / self.count - mean * mean))


class RowSums:
    """Adds up the rows of blocks in float64, each in an order that its length alone decides."""

    def __init__(self) -> None:
        self._count = 0
        self._total: list[float] = []
        self._squares: list[float] = []
        self._wide: FloatArray = np.empty(BLOCK, np.float64)

    def add(self, block: Array) -> None:
        """Take a block `[rows, elements]`."""
        wide = self._wide[: block.size].reshape(block.shape)
        np.copyto(wide, block)
        self._count += block.size
        self._total += np.add.reduce(wide, axis=1).tolist()
        np.multiply(wide, wide, out=wide)
        self._squares += np.add.reduce(wide, axis=1).tolist()

    def moments(self) -> Moments:
        """Return the moments of all blocks."""
        zero = ExactSum()
        return Moments(self._count, zero.plus(self._total), zero.plus(self._squares))
