"""Quantization of constant weights: exact ranges, per tensor or per channel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.errors import UsageError
from octavo.measure.quantization import Quantization, parameters, quantize
from octavo.measure.samples import check_finite, floating
from octavo.plan import Scheme


def quantize_weight(weight: Array, scheme: Scheme) -> tuple[Array, Quantization]:
    """Quantize a weight over its full range.

    Args:
        weight: real numbers of any shape.
        scheme: the integers (7 bits are 8-bit integers of reduced range); per channel along
            `scheme.axis`, per tensor where that is None.

    Returns:
        The integers, of the weight's shape, and the scale and zero point: without axes per tensor,
        with one per channel. A channel of zeros gets the scale of the whole tensor, so that a bias
        quantized by it keeps its resolution; a tensor of zeros gets scale 1.

    Raises:
        NonFiniteError: a value is NaN, infinite or beyond float32; the tensor is `"weight"`.
        DataError: the weight does not hold real numbers.
        UsageError: the weight has no axis `scheme.axis`, or the scheme is in blocks.
    """
    weight = floating(np.asarray(weight))
    axis = _channel_axis(weight, scheme)
    low, high = _extremes(weight, axis)
    check_finite("weight", weight, low.min(initial=0), high.max(initial=0))
    empty = (low == 0) & (high == 0)
    low, high = np.where(empty, low.min(initial=0), low), np.where(empty, high.max(initial=0), high)
    quantization = parameters(low, high, replace(scheme, axis=axis))
    return quantize(weight, quantization), quantization


def _channel_axis(weight: Array, scheme: Scheme) -> int | None:
    """Return the channel axis, counted from the first."""
    if scheme.block is not None:
        raise UsageError(
            f"scales for blocks of {scheme.block} elements are not supported here; "
            "expected one scale per tensor or per channel"
        )
    if scheme.axis is None:
        return None
    if not -weight.ndim <= scheme.axis < weight.ndim:
        raise UsageError(f"a weight of shape {weight.shape} has no channel axis {scheme.axis}")
    return scheme.axis % weight.ndim


def _extremes(weight: Array, axis: int | None) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the ranges, which hold zero: without axes, or one per channel."""
    others = None if axis is None else tuple(set(range(weight.ndim)) - {axis})
    low = np.asarray(weight.min(axis=others, initial=0), np.float64)
    high = np.asarray(weight.max(axis=others, initial=0), np.float64)
    return low, high
