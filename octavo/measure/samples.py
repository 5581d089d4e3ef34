"""Batches as rows of floating-point samples, thinned, cut into blocks that stay in the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from octavo.arrays import Array
from octavo.errors import DataError, NonFiniteError

BLOCK = 16384
"""Elements worked on at a time; with its intermediate results a block fits a level-2 cache."""

SAMPLED = 16384
"""Values of each sample that are enough for a histogram: of a hundred samples, well over a million.
What is lost by looking at no more is measured in docs/development.md."""

_RUN = 16
"""Neighbours taken together by thinning: a cache line of float32, as memory is read in those."""

_PROBES, _DIGITS = 256, 4
"""Values from which it follows where thinning begins, and the digits that they make."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest magnitude that counts as finite: scales and ranges are float32 in every runtime."""


def floating(values: Array) -> Array:
    """Return `values` as float32 where that is exact, else as float64; the axes lie as they did.

    Args:
        values: real numbers of any shape; float16, bfloat16 and integers of up to 16 bits become
            float32, wider ones float64 (64-bit integers are rounded to it).

    Raises:
        DataError: the elements are not real numbers.
    """
    return np.asarray(values, _working_dtype(values.dtype))


def _working_dtype(dtype: np.dtype[np.generic]) -> DTypeLike:
    if np.can_cast(dtype, np.float32):
        return np.float32
    if dtype.kind in "iuf":
        return np.float64
    raise DataError(f"values of type {dtype} cannot be measured; expected real numbers")


def check_finite(tensor: str, values: Array, low: float, high: float) -> None:
    """Check values by their extremes, which cost less to find than a look at each for itself.

    Args:
        tensor: the name for the error.
        values: the values.
        low: the smallest of them, NaN if one is.
        high: the largest of them, NaN if one is.

    Raises:
        NonFiniteError: a value is NaN, infinite or beyond float32.
    """
    if not (low >= -LARGEST and high <= LARGEST):  # a comparison with NaN is false
        raise NonFiniteError(tensor, int(np.count_nonzero(~(np.abs(values) <= LARGEST))))


def as_samples(values: Array, limit: int | None = None) -> Array:
    """Return contiguous `[samples, elements]` of an array whose axis 0 holds the samples.

    Args:
        values: any shape, in any order in memory.
        limit: from samples of more elements, at most this many are taken, evenly spread; which ones
            depends on the shape of a sample and on how its axes lie in memory, not on the batch.
    """
    if values.size == 0:
        return np.empty((0, 0), values.dtype)
    values = np.atleast_1d(values)
    if limit is None or values.size <= limit * len(values):
        return np.ascontiguousarray(values).reshape(len(values), -1)
    return _thinned(_as_it_lies(values), limit)


def _as_it_lies(values: Array) -> Array:
    """Return `[samples, elements]` in the order of memory, which needs no copy of a dense array."""
    axes = sorted(range(1, values.ndim), key=lambda axis: -values.strides[axis])
    return np.ascontiguousarray(values.transpose(0, *axes)).reshape(len(values), -1)


def _thinned(samples: Array, limit: int) -> Array:
    """Return at most `limit` of the elements of each row, or one run: short runs, equally spaced.

    The distance shares no factor with the number of runs, so that they visit all channels and all
    columns alike, whichever axis those lie along. Each sample begins elsewhere, so that together
    they visit every position.
    """
    count, size = samples.shape
    length = math.gcd(size, _RUN)
    runs = size // length
    step = -(-runs // max(1, limit // length))
    while math.gcd(step, runs) > 1:
        step += 1
    at = (_beginnings(samples, runs)[:, None] + np.arange(0, runs, step)) % runs
    taken = samples.reshape(-1, length)[(at + np.arange(count)[:, None] * runs).ravel()]
    return np.asarray(taken.reshape(count, -1))


def _beginnings(samples: Array, runs: int) -> NDArray[np.int64]:
    """Return a number below `runs` for each row, which its values decide as a hash would.

    It is made from where the largest of some values stand. Rounding hardly ever changes that, so
    that another number of threads, which may round otherwise, looks at the same elements.
    """
    count, size = samples.shape
    if size < _PROBES:
        return np.zeros(count, np.int64)
    probed = samples[:, :: size // _PROBES][:, :_PROBES]
    places = probed.reshape(count, _DIGITS, -1).argmax(axis=2)
    return np.asarray(places @ (_PROBES // _DIGITS) ** np.arange(_DIGITS) % runs)


def blocks(samples: Array) -> Iterator[Array]:
    """Cut `[samples, elements]` into two-dimensional blocks of at most `BLOCK` elements.

    A row of a block never holds elements of two samples, and where a sample is cut depends on its
    size alone: what is computed row by row does not depend on the batch.
    """
    count, size = samples.shape
    for start in range(0, size, BLOCK):
        columns = samples[:, start : start + BLOCK]
        rows = max(1, BLOCK // columns.shape[1])
        for row in range(0, count, rows):
            yield columns[row : row + rows]
