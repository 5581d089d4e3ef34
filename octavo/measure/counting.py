"""The inner loop of calibration: which bin every value falls into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from octavo.arrays import Array
from octavo.measure.histogram import Histogram
from octavo.measure.samples import BLOCK


class BinCounter:
    """Counts blocks of values into the bins of a histogram that covers them.

    Scaling by a power of two is exact, so that every value lands in the bin that the definition
    `floor(value / width)` gives it. The one exception of floating point is mended: a negative value
    far below the width may underflow to zero when scaled, yet belongs to bin -1.

    Args:
        bins: the histogram; its bins reach from the smallest to the largest value to come.
        dtype: float32 or float64, the type of the values to come.
    """

    def __init__(self, bins: Histogram, dtype: np.dtype[np.generic]) -> None:
        self.counts: NDArray[np.int64] = np.zeros(len(bins.counts), np.int64)
        self._first = bins.first
        self._factor = dtype.type(2.0**-bins.width_exponent)
        self._may_underflow = bins.first < 0 and bins.width_exponent > 0
        self._scaled: Array = np.empty(BLOCK, dtype)
        self._index = np.empty(BLOCK, np.int32)  # converted to in a fifth of the time of int64

    def add(self, block: Array) -> None:
        """Take a block of at most `BLOCK` values."""
        scaled = self._scaled[: block.size].reshape(block.shape)
        np.multiply(block, self._factor, out=scaled)
        if self._first:
            self._shift_to_first(block, scaled)
        index = self._index[: block.size]
        np.copyto(index, scaled.reshape(-1), casting="unsafe")
        self.counts += np.bincount(index, minlength=len(self.counts))

    def _shift_to_first(self, block: Array, scaled: Array) -> None:
        np.floor(scaled, out=scaled)
        if self._may_underflow:
            np.subtract(scaled, 1, out=scaled, where=(scaled == 0) & (block < 0))
        np.subtract(scaled, self._first, out=scaled)
