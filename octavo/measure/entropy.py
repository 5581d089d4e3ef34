"""Ranges that keep the distribution of the values: the entropy (Kullback-Leibler) method.

After S. Migacz, "8-bit Inference with TensorRT", GTC 2017. The values within a candidate range are
a distribution P, with what lies outside added to its outermost bins. Q is the same histogram after
quantization: the bins of each integer level are replaced by their mean over the bins in use. The
range whose KL(P || Q) is smallest is taken.

Two things differ from the slides. The levels of a candidate are equally wide (to a bin) instead of
all but the last being rounded down, which biases the choice by up to a level's width per level. And
an excess of exact zeros is left out, since a quantizer has no error on zeros at any range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from octavo.arrays import FloatArray
from octavo.measure.histogram import Histogram
from octavo.measure.quantization import steps
from octavo.plan import Range, Scheme

_NEXT_TO_NOTHING = 1e-4
"""Number of values that an empty level of Q holds where P has some, so that the divergence stays
finite; the same as in MXNet and ONNX Runtime."""

_Ints = NDArray[np.int64]


def entropy_range(histogram: Histogram, scheme: Scheme) -> Range:
    """Return the range with the smallest divergence between the values and their quantization.

    The candidates are all `|x| <= threshold` of whole bins that have at least one bin per level,
    cut to the extent of the histogram where the scheme is asymmetric. Without a candidate the
    range is that of the histogram.

    Args:
        histogram: counts of the values.
        scheme: the integers the range is for.
    """
    levels = steps(scheme) + 1
    bins = len(histogram.magnitude)
    low, high = (-bins, bins) if scheme.symmetric else (histogram.first, histogram.last + 1)
    thresholds = np.arange(1, bins + 1)
    starts, stops = np.maximum(-thresholds, low), np.minimum(thresholds, high)
    candidates = stops - starts >= levels
    counts = _padded(histogram, low, high)
    if candidates.any() and counts.any():
        scores = divergences(counts, starts[candidates] - low, stops[candidates] - low, levels)
        best = int(thresholds[candidates][len(scores) - 1 - np.argmin(scores[::-1])])
        low, high = max(-best, low), min(best, high)
    return Range(low * histogram.width, high * histogram.width)


def _padded(histogram: Histogram, low: int, high: int) -> _Ints:
    """Return the counts of the bins from `low` up to `high`, without the excess of zeros."""
    counts = np.zeros(high - low, np.int64)
    counts[histogram.first - low : histogram.last + 1 - low] = histogram.counts
    counts[-low] -= histogram.spike
    return counts


def divergences(counts: _Ints, starts: _Ints, stops: _Ints, levels: int) -> FloatArray:
    """Return KL(P || Q) in nats for candidate ranges.

    With prefix sums a candidate costs its number of levels, not its number of bins.

    Args:
        counts: `[bins]`, values in each bin.
        starts: `[candidates]`, the first bin of each.
        stops: `[candidates]`, the bin after its last; at least `levels` after its start.
        levels: number of integers.
    """
    held, used, information = (_prefix(each) for each in (counts, counts > 0, _xlogx(counts)))
    left, right, inside = held[starts], held[-1] - held[stops], held[stops] - held[starts]
    first, last = counts[starts], counts[stops - 1]
    edges = starts[:, None] + np.arange(levels + 1) * (stops - starts)[:, None] // levels
    mass, places = np.diff(held[edges]), np.diff(used[edges])
    places[:, 0] += (first == 0) & (left > 0)
    places[:, -1] += (last == 0) & (right > 0)
    mean = np.log(np.maximum(mass, _NEXT_TO_NOTHING) / np.maximum(places, 1))
    own = information[stops] - information[starts]
    own += _xlogx(first + left) - _xlogx(first) + _xlogx(last + right) - _xlogx(last)
    cross = (mass * mean).sum(axis=1) + left * mean[:, 0] + right * mean[:, -1]
    scores = (own - cross) / held[-1] + np.log(np.maximum(inside, _NEXT_TO_NOTHING) / held[-1])
    return np.asarray(scores)


def _prefix(values: NDArray[np.generic]) -> NDArray[Any]:
    return np.concatenate([[0], np.cumsum(values)])


def _xlogx(counts: _Ints) -> FloatArray:
    return np.asarray(counts * np.log(np.maximum(counts, 1)))
