"""Ranges that minimise the expected squared error of quantization.

The expected error of a step and a zero point is known exactly once the values are spread evenly
within each bin of their histogram: a value inside the range goes to the nearest level, one outside
to the last. With prefix sums of the histogram it costs one term per level, and the sums for all
ends of a range come from one cumulative sum. So all zero points at all steps are compared, both
ends free, with the real levels: Widrow's `step**2 / 12` for the noise inside is not assumed, which
is wrong where many values crowd around one level (the zeros of a rectifier, the floor of a GELU).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from octavo.arrays import FloatArray
from octavo.measure.histogram import Histogram
from octavo.measure.quantization import steps
from octavo.plan import Range, Scheme

_NARROWEST = 1 / 64
"""The narrowest range tried, as a share of the widest."""

_SIZES = 256
"""The number of step sizes tried, under 2 % apart, before the neighbourhood of the best."""


def mse_range(histogram: Histogram, widest: Range, scheme: Scheme) -> Range:
    """Return the range with the smallest expected squared error.

    Its ends are whole steps from zero: its scale and zero point are exactly those that were found
    best. An end may therefore lie a few steps beyond the values.

    Args:
        histogram: counts of the values.
        widest: the exact range of the values and zero, symmetric for a symmetric scheme.
        scheme: the integers the range is for.

    Returns:
        The range; `widest` where the histogram cannot tell, because its bins are wider than the
        steps or because it holds nothing but zeros.
    """
    count = steps(scheme)
    full = (widest.high - widest.low) / histogram.width / count
    if full < 1 or histogram.total == histogram.spike:
        return widest
    tried = full * np.append(np.geomspace(_NARROWEST, 1 + 2 / count, _SIZES - 1), 1.0)
    tried.sort()
    best = int(np.argmin(_errors(histogram, scheme, tried).min(axis=1)))
    tried = np.linspace(tried[max(best - 1, 0)], tried[min(best + 1, _SIZES - 1)], 33)
    errors = _errors(histogram, scheme, tried)
    size, below = np.unravel_index(np.argmin(errors), errors.shape)
    step = float(tried[size]) * histogram.width
    if scheme.symmetric:
        return Range(-step * count / 2, step * count / 2)
    return Range(-step * int(below), step * (count - int(below)))


def _errors(histogram: Histogram, scheme: Scheme, tried: FloatArray) -> FloatArray:
    """Return the summed errors `[step sizes, levels below zero]`, but for a constant."""
    count = steps(scheme)
    if scheme.symmetric:
        return _Side(histogram.magnitude, histogram.spike).errors(tried, count // 2)[:, -1:]
    below = _Side(histogram.negative, 0).errors(tried, count)
    above = _Side(histogram.positive, histogram.spike).errors(tried, count)
    return below + above[:, ::-1]


class _Side:
    """The values on one side of zero, spread evenly within each bin.

    Args:
        counts: values in each bin, from zero outwards.
        spike: how many of those in the first bin are zero and have no error.
    """

    def __init__(self, counts: NDArray[np.int64], spike: int) -> None:
        edges = np.arange(len(counts) + 1, dtype=np.float64)
        self._density = np.append(counts, 0).astype(np.float64)
        self._density[0] -= spike
        self._number = _sums(self._density, edges)
        self._total = _sums(self._density, edges**2 / 2)

    def _below(self, ends: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the number and the sum of the values below each end."""
        bins = np.minimum(ends, len(self._density) - 1).astype(np.intp)
        density, inside = self._density[bins], ends - bins
        number, total = self._number[bins], self._total[bins]
        return number + density * inside, total + density * inside * (ends + bins) / 2

    def errors(self, tried: FloatArray, count: int) -> FloatArray:
        """Return the summed errors `[step sizes, count + 1]` with 0, 1, ... `count` levels.

        The sum of the squares of the values is left out: it is the same for all. What remains of
        `(x - level)**2` is `level * (level - 2 * x)`.
        """
        if not self._number[-1]:
            return np.zeros((len(tried), count + 1))
        levels = np.arange(count + 1) * tried[:, None]
        cells = np.maximum(levels - tried[:, None] / 2, 0.0)  # where the values of a level begin
        number, total = self._below(cells)
        inner = levels[:, :-1]
        rounded = inner * (inner * np.diff(number) - 2 * np.diff(total))
        errors = levels * (levels * (self._number[-1] - number) - 2 * (self._total[-1] - total))
        errors[:, 1:] += np.cumsum(rounded, axis=1)
        return np.asarray(errors)


def _sums(density: FloatArray, integral: FloatArray) -> FloatArray:
    """Return, at each edge of the bins, the sum over the values below it of what was integrated."""
    return np.append(0.0, np.cumsum(density[:-1] * np.diff(integral)))
