"""Checks of one array against the input it is for."""

from __future__ import annotations

import numpy as np

from octavo.arrays import Array
from octavo.errors import DataError
from octavo.model import TensorSpec


def check_shape(array: Array, spec: TensorSpec, where: str) -> None:
    """Raise `DataError` unless rank and fixed dimensions, axis 0 aside, are those of `spec`."""
    got = f"an array of shape {list(array.shape)} for input {spec}"
    if array.ndim != len(spec.shape):
        lacks_samples = array.ndim + 1 == len(spec.shape)
        hint = "; axis 0 must count the samples: add it with array[None]" if lacks_samples else ""
        raise DataError(f"{where}: {got}: {len(spec.shape)} dimensions are needed{hint}")
    for axis, size in enumerate(spec.shape):
        if axis and isinstance(size, int) and array.shape[axis] != size:
            raise DataError(
                f"{where}: {got}: dimension {axis} must be {size}, not {array.shape[axis]}"
            )
    if 0 in array.shape[1:]:
        raise DataError(f"{where}: {got}: its samples are empty")


def check_finite(array: Array, what: str, where: str, first: int) -> None:
    """Raise `DataError` if a float array holds NaN or infinity.

    Args:
        array: values, axis 0 = samples.
        what: what the array is, for the message.
        where: where it came from, for the message.
        first: the number of its first sample, counted from 0.
    """
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return
    bad = ~np.isfinite(array.reshape(len(array) if array.ndim else 1, -1))
    samples = np.flatnonzero(bad.any(axis=1))
    others = f" (and of {len(samples) - 1} more)" if len(samples) > 1 else ""
    raise DataError(
        f"{where}: {what} of sample {first + samples[0]}{others} is NaN or infinite "
        f"in {bad.sum()} of {bad[samples].size} values; repair or leave out these samples"
    )


def cast(array: Array, spec: TensorSpec, where: str) -> Array:
    """Return `array` as the dtype of `spec`, the same object where it already is.

    Floats become other floats; booleans and integers become any type that holds these very values.

    Raises:
        DataError: values would be lost: floats for integers, numbers too large, text for numbers.
    """
    dtype = _dtype(spec, where)
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in _CASTS.get(dtype.kind, ""):
        raise DataError(f"{where}: {array.dtype} values for input {spec}; convert them yourself")
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(dtype)
        exact = array.dtype.kind == "f" or np.array_equal(result.astype(array.dtype), array)
    if not exact or not np.isfinite(result).all():
        raise DataError(
            f"{where}: {array.dtype} values from {array.min()} to {array.max()} for input {spec}: "
            f"{dtype} cannot hold them"
        )
    return result


_CASTS = {"f": "fiub", "i": "iub", "u": "iub"}
"""Kinds of dtypes that may become one of the kind before the colon."""


def _dtype(spec: TensorSpec, where: str) -> np.dtype[np.generic]:
    try:
        return np.dtype(spec.dtype)
    except TypeError as error:
        raise DataError(
            f"{where}: input {spec} has a type that numpy does not know; no data can be given"
        ) from error
