"""Histograms on bins whose width is a power of two and whose edges are anchored at zero.

The bin of a value is `floor(value / width)`, exactly. Doubling the width merges the bins pairwise
and moves no edge, because `floor(floor(x) / 2) == floor(x / 2)`. A histogram that grew in many
steps is therefore the histogram of all values at the final width, and the final width is a function
of the smallest and the largest value alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from octavo.arrays import FloatArray

MIN_EXPONENT = -126
"""Bins are never narrower than the smallest normal float32, which is the smallest scale there is;
so `1 / width` is a normal float32 for every width."""


def bin_of(value: float, exponent: int) -> int:
    """Return `floor(value / 2**exponent)`, also where the quotient is too small for a float."""
    index = math.floor(math.ldexp(value, -exponent))
    return -1 if value < 0 and index == 0 else index


def exponent_for(low: float, high: float, bins: int) -> int:
    """Return the smallest width exponent at which `bins` bins reach from `low` to `high`.

    Args:
        low: zero or below.
        high: zero or above.
        bins: the largest number of bins.
    """
    extent = max(high, -low)
    if extent == 0:
        return MIN_EXPONENT
    exponent = max(MIN_EXPONENT, math.frexp(extent / bins)[1] - 1)
    while bin_of(high, exponent) - bin_of(low, exponent) >= bins:
        exponent += 1
    return exponent


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of values in consecutive bins; bin 0, which begins at zero, is always among them.

    Attributes:
        width_exponent: the bins are `2 ** width_exponent` wide.
        first: index of the first bin, zero or below; bin `i` is `[i * width, (i + 1) * width)`.
        counts: int64, the number of values in each bin.
    """

    width_exponent: int = MIN_EXPONENT
    first: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and (self.width_exponent, self.first) == (other.width_exponent, other.first)
            and np.array_equal(self.counts, other.counts)
        )

    @property
    def width(self) -> float:
        """The width of a bin."""
        return math.ldexp(1.0, self.width_exponent)

    @property
    def last(self) -> int:
        """The index of the last bin, zero or above."""
        return self.first + len(self.counts) - 1

    @property
    def edges(self) -> FloatArray:
        """The ends of the bins, one more than there are bins; float64 and exact."""
        return np.arange(self.first, self.last + 2, dtype=np.float64) * self.width

    @property
    def total(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    @property
    def negative(self) -> NDArray[np.int64]:
        """Counts of the bins below zero, from zero outwards."""
        return self.counts[: -self.first][::-1]

    @property
    def positive(self) -> NDArray[np.int64]:
        """Counts of bin 0 and the bins above it, from zero outwards."""
        return self.counts[-self.first :]

    @property
    def magnitude(self) -> NDArray[np.int64]:
        """Counts of the values by magnitude: both sides folded onto one, from zero outwards."""
        folded = np.zeros(max(-self.first, self.last + 1), np.int64)
        folded[: -self.first] = self.negative
        folded[: self.last + 1] += self.positive
        return folded

    @property
    def spike(self) -> int:
        """By how much bin 0 rises above its neighbours: an estimate of how many values are zero.

        Rectifiers and padding make exact zeros. A quantizer has no error on them at any scale, and
        so they have no say in a range that minimises an error.
        """
        neighbours = np.concatenate([self.negative[:1], self.positive[1:2]])
        return max(0, int(self.positive[0] - neighbours.max())) if neighbours.size else 0

    def covering(self, low: float, high: float, bins: int) -> Histogram:
        """Return the same counts on the bins that reach from `low` to `high`.

        Args:
            low: zero or below, and below every value counted.
            high: zero or above, and above every value counted.
            bins: the largest number of bins.
        """
        exponent = exponent_for(low, high, bins)
        first, last = bin_of(low, exponent), bin_of(high, exponent)
        if (exponent, first, last) == (self.width_exponent, self.first, self.last):
            return self
        counts = np.zeros(last - first + 1, np.int64)
        shift = min(exponent - self.width_exponent, 63)
        moved = np.arange(self.first, self.last + 1) >> shift
        filled = self.counts > 0
        np.add.at(counts, moved[filled] - first, self.counts[filled])
        return Histogram(exponent, first, counts)

    def plus(self, counts: NDArray[np.int64]) -> Histogram:
        """Return the histogram with `counts` added, bin by bin."""
        return Histogram(self.width_exponent, self.first, self.counts + counts)
