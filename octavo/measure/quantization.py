"""Scales and zero points, and the integers they make: the arithmetic of ONNX's QuantizeLinear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.errors import DataError, UsageError
from octavo.measure.samples import LARGEST
from octavo.plan import Range, Scheme

_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Quantization:
    """How real values map to integers: `real = (integer - zero_point) * scale`.

    Attributes:
        scale: float32 and normal, above zero; no axes for one scale per tensor, one for one scale
            per channel.
        zero_point: the integer that stands for zero, of the integers' dtype and of `scale`'s shape.
        scheme: the integers in use and, where per channel, the channel axis.
    """

    scale: Array
    zero_point: Array
    scheme: Scheme

    @property
    def range(self) -> tuple[FloatArray, FloatArray]:
        """The smallest and the largest real value there is an integer for, as float64."""
        zero, scale = self.zero_point.astype(np.float64), self.scale.astype(np.float64)
        return (self.scheme.qmin - zero) * scale, (self.scheme.qmax - zero) * scale


def storage_dtype(scheme: Scheme) -> np.dtype[np.generic]:
    """Return the numpy integer type that holds the integers of `scheme`: 8 bits, or more if needed.

    Raises:
        UsageError: the scheme has fewer than 2 or more than 16 bits.
    """
    if not 2 <= scheme.bits <= 16:
        raise UsageError(f"a scheme of {scheme.bits} bits was asked for; expected 2 to 16")
    return np.dtype(f"{'int' if scheme.signed else 'uint'}{8 if scheme.bits <= 8 else 16}")


def symmetric_zero_point(scheme: Scheme) -> int:
    """Return the zero point of every symmetric scheme: 0, or the middle of unsigned integers."""
    return 0 if scheme.signed else 1 << (scheme.bits - 1)


def steps(scheme: Scheme) -> int:
    """Return the number of steps of size `scale` between the ends of a range: 255 for U8.

    A symmetric scheme counts the steps of its shorter side twice: 254 for S8.
    """
    if scheme.symmetric:
        return 2 * (scheme.qmax - symmetric_zero_point(scheme))
    return scheme.qmax - scheme.qmin


def parameters(low: FloatArray, high: FloatArray, scheme: Scheme) -> Quantization:
    """Return scales and zero points for ranges; every integer in use stands for a finite float32.

    Args:
        low: float64, the lower ends, zero or below; any shape.
        high: the upper ends, zero or above; of the same shape.
        scheme: the integers; its axis is kept and not used.

    Raises:
        DataError: an end is not finite in float32.
    """
    dtype = storage_dtype(scheme)
    span = 2 * np.maximum(-low, high) if scheme.symmetric else high - low
    if not np.all(span <= 2 * LARGEST):
        raise DataError(
            f"a range of {np.max(span)} is not finite in float32; expected finite ends: keep the "
            "operator in float, or calibrate it by percentile"
        )
    exact = span / steps(scheme)
    scale = np.where(exact < _SMALLEST, 1.0, exact).astype(np.float32)
    zero_point = _zero_point(low, scale, scheme)
    reach = np.maximum(zero_point - scheme.qmin, scheme.qmax - zero_point)
    scale = np.minimum(scale, LARGEST * (1 - 1e-6) / reach).astype(np.float32)
    return Quantization(scale, zero_point.astype(dtype), scheme)


def _zero_point(low: FloatArray, scale: Array, scheme: Scheme) -> FloatArray:
    if scheme.symmetric:
        return np.full(scale.shape, symmetric_zero_point(scheme), np.float64)
    ideal = np.rint(scheme.qmin - low / scale.astype(np.float64))
    return np.asarray(np.clip(ideal, scheme.qmin, scheme.qmax))


def quantization_of(range: Range, scheme: Scheme) -> Quantization:
    """Return the scale and the zero point that cover a range, widened to hold zero.

    A range too small for a normal float32 scale (an all-zero tensor) gets scale 1: all of it
    becomes the zero point, and no product of scales can overflow or vanish.

    Args:
        range: the real values to cover.
        scheme: the integers to cover them with; one scale is made whatever its axis.

    Returns:
        Scale and zero point without axes.

    Raises:
        DataError: the range is not finite.
    """
    low, high = min(range.low, 0.0), max(range.high, 0.0)
    return parameters(np.array(low), np.array(high), scheme.per_tensor)


def _shaped(parameter: Array, ndim: int, axis: int | None) -> Array:
    if parameter.ndim == 0:
        return parameter
    if axis is None or not -ndim <= axis < ndim:
        raise UsageError(f"a scale per channel needs the channel axis, got {axis} of {ndim} axes")
    shape = [1] * ndim
    shape[axis] = len(parameter)
    return parameter.reshape(shape)


def quantize(values: Array, quantization: Quantization, axis: int | None = None) -> Array:
    """Return the nearest integers, halves to even, saturated to those in use.

    The division is done in float32, as QuantizeLinear of ONNX does: the integers are the same.

    Args:
        values: real and not NaN.
        quantization: scale and zero point.
        axis: the channel axis for a scale per channel; None takes that of the scheme.

    Returns:
        Integers of `storage_dtype`, of the shape of `values`.

    Raises:
        UsageError: a scale per channel and no such axis.
    """
    axis = quantization.scheme.axis if axis is None else axis
    scale = _shaped(quantization.scale, values.ndim, axis)
    zero = _shaped(quantization.zero_point, values.ndim, axis).astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        steps_away = np.asarray(np.divide(values.astype(np.float32), scale))
    np.rint(steps_away, out=steps_away)
    np.clip(
        steps_away,
        quantization.scheme.qmin - zero,
        quantization.scheme.qmax - zero,
        out=steps_away,
    )
    steps_away += zero
    return steps_away.astype(quantization.zero_point.dtype)


def dequantize(integers: Array, quantization: Quantization, axis: int | None = None) -> Array:
    """Return the float32 values that the integers stand for, as DequantizeLinear of ONNX does.

    Args:
        integers: what `quantize` returned.
        quantization: scale and zero point.
        axis: the channel axis for a scale per channel; None takes that of the scheme.

    Raises:
        UsageError: a scale per channel and no such axis.
    """
    axis = quantization.scheme.axis if axis is None else axis
    scale = _shaped(quantization.scale, integers.ndim, axis)
    zero = _shaped(quantization.zero_point, integers.ndim, axis)
    centred = integers.astype(np.int32) - zero.astype(np.int32)
    return np.asarray(centred.astype(np.float32) * scale)
