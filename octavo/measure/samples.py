"""Batches as rows of floating-point samples, cut into blocks that stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from octavo.arrays import Array
from octavo.errors import DataError, NonFiniteError

BLOCK = 16384
"""Elements worked on at a time; with its intermediate results a block fits a level-2 cache."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest magnitude that counts as finite: scales and ranges are float32 in every runtime."""


def floating(values: Array) -> Array:
    """Return `values` as contiguous float32 where that is exact, else as float64.

    Args:
        values: real numbers of any shape; float16, bfloat16 and integers of up to 16 bits become
            float32, wider ones float64 (64-bit integers are rounded to it).

    Raises:
        DataError: the elements are not real numbers.
    """
    return np.require(values, _working_dtype(values.dtype), "C")


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


def as_samples(values: Array) -> Array:
    """Return a view `[samples, elements]` of a contiguous array whose axis 0 holds the samples."""
    if values.size == 0:
        return np.empty((0, 0), values.dtype)
    return values.reshape(len(values) if values.ndim else 1, -1)


def thinned(samples: Array, stride: int) -> Array:
    """Return about every `stride`-th element of each sample, the same whatever the batch.

    The step is the next number from `stride` on that shares no factor with the sample's size, so
    that it never stays on the same channels or columns.

    Args:
        samples: `[samples, elements]`.
        stride: 1 keeps everything.
    """
    if stride == 1:
        return samples
    step, size = stride, samples.shape[1]
    while math.gcd(step, size) > 1:
        step += 1
    return np.ascontiguousarray(samples[:, ::step])


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
