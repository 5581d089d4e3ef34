"""From statistics to ranges: every method works offline, on the statistics of one pass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from octavo.errors import DataError, UsageError, nearest
from octavo.graph import Graph
from octavo.measure.entropy import entropy_range
from octavo.measure.histogram import Histogram
from octavo.measure.mse import mse_range
from octavo.measure.observer import Statistics
from octavo.measure.statistics import TensorStatistics
from octavo.plan import Range, RangeMethod, Recipe, Scheme


def compute_range(statistics: TensorStatistics, recipe: Recipe, scheme: Scheme) -> Range:
    """Return the range of a tensor by the method that `recipe` names.

    It holds zero, lies within the exact minimum and maximum, and for a symmetric scheme is
    symmetric around zero.

    Args:
        statistics: what was seen of the tensor.
        recipe: the range method and its parameters.
        scheme: the integers the range is for.

    Raises:
        DataError: no value was seen.
        UsageError: the method is unknown, or the percentile out of its bounds.
    """
    if not statistics.count:
        raise DataError("no values were measured; expected at least one sample of calibration data")
    widest = _widest(statistics, scheme)
    found = _by_method(statistics.histogram, widest, recipe, scheme)
    if statistics.minimum == statistics.maximum:
        found = widest
    return Range(found.low + 0.0, found.high + 0.0)  # -0.0 becomes 0.0


def _within(found: Range, widest: Range) -> Range:
    return Range(max(found.low, widest.low), min(found.high, widest.high))


def _widest(statistics: TensorStatistics, scheme: Scheme) -> Range:
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    extent = max(-low, high)
    return Range(-extent, extent) if scheme.symmetric else Range(low, high)


def _by_method(histogram: Histogram, widest: Range, recipe: Recipe, scheme: Scheme) -> Range:
    match recipe.ranges:
        case "minmax":
            return widest
        case "percentile":
            return _within(percentile_range(histogram, recipe.percentile, scheme), widest)
        case "entropy":
            return _within(entropy_range(histogram, scheme), widest)
        case "mse":
            return mse_range(histogram, widest, scheme)
    raise UsageError(  # a recipe read from a file can name anything
        f"no range method {recipe.ranges!r}; expected one of {', '.join(get_args(RangeMethod))}"
        f"{nearest(recipe.ranges, get_args(RangeMethod))}"
    )


def percentile_range(histogram: Histogram, percentile: float, scheme: Scheme) -> Range:
    """Return the smallest range of whole bins that holds `percentile` % of the values.

    Half of the rest is cut from each end of an asymmetric range, as ONNX Runtime does; a symmetric
    range is cut by magnitude.

    Args:
        histogram: counts of the values.
        percentile: above 50, at most 100.
        scheme: the integers the range is for.

    Raises:
        UsageError: `percentile` is out of its bounds.
    """
    if not 50 < percentile <= 100:
        raise UsageError(
            f"a percentile of {percentile} was asked for; expected above 50, up to 100"
        )
    cut = (100 - percentile) / 100
    if scheme.symmetric:
        extent = _outermost(histogram.magnitude, cut) * histogram.width
        return Range(-extent, extent)
    low = len(histogram.counts) - _outermost(histogram.counts[::-1], cut / 2)
    high = _outermost(histogram.counts, cut / 2)
    return Range(
        min((histogram.first + low) * histogram.width, 0.0),
        max((histogram.first + high) * histogram.width, 0.0),
    )


def _outermost(counts: NDArray[np.int64], cut: float) -> int:
    """Return how many of the first bins must stay for at most a share `cut` to be left out."""
    held = np.concatenate([[0], np.cumsum(counts)])
    return int(np.searchsorted(held, held[-1] * (1 - cut)))


def tied_ranges(
    statistics: Statistics, graph: Graph, recipe: Recipe, schemes: Mapping[str, Scheme]
) -> dict[str, Range]:
    """Return the ranges of tensors; those of one tie all get the union of their ranges.

    Args:
        statistics: what was seen of every tensor of `schemes`.
        graph: tells the ties; tensors it does not know are tied to nothing.
        recipe: how the ranges are made.
        schemes: the integers by tensor; tensors that stay float are absent and widen no tie.

    Raises:
        DataError: a tensor was not seen; names it.
        UsageError: a tensor is not in the statistics, or the recipe cannot be used.
    """
    ranges = {
        name: _named_range(statistics, name, recipe, scheme) for name, scheme in schemes.items()
    }
    for names in graph.ties.values():
        members = [name for name in names if name in ranges]
        if members:
            union = reduce(Range.union, (ranges[name] for name in members))
            ranges.update(dict.fromkeys(members, union))
    return ranges


def _named_range(statistics: Statistics, name: str, recipe: Recipe, scheme: Scheme) -> Range:
    try:
        return compute_range(statistics[name], recipe, scheme)
    except DataError as error:
        raise DataError(f"tensor {name!r}: {error}") from None
