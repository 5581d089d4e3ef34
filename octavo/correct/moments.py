"""What corrections need to know of each channel of a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array, FloatArray


@dataclass(frozen=True)
class Moments:
    """Extremes and moments of the channels of one tensor; every array is float64 `[channels]`.

    Attributes:
        low: the smallest value.
        high: the largest value.
        mean: the mean.
        square: the mean square.
        count: values seen of each channel.
    """

    low: FloatArray
    high: FloatArray
    mean: FloatArray
    square: FloatArray
    count: int

    @property
    def extent(self) -> FloatArray:
        """The largest magnitude."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def times(self, factor: FloatArray) -> Moments:
        """Return the moments of the channels times positive factors."""
        return Moments(
            self.low * factor,
            self.high * factor,
            self.mean * factor,
            self.square * factor**2,
            self.count,
        )

    def plus(self, other: Moments) -> Moments:
        """Return the moments of what both saw."""
        count = self.count + other.count
        share = other.count / count
        return Moments(
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.mean + share * (other.mean - self.mean),
            self.square + share * (other.square - self.square),
            count,
        )


def moments_of(values: Array, axis: int) -> Moments:
    """Return the moments of the channels along `axis`."""
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    wide = rows.astype(np.float64)
    low, high = wide.min(axis=1), wide.max(axis=1)
    return Moments(low, high, wide.mean(axis=1), np.square(wide).mean(axis=1), wide.shape[1])


class ChannelObserver:
    """An observer that collects the moments of every channel.

    Args:
        axes: the channel axis of each wanted tensor.
    """

    def __init__(self, axes: Mapping[str, int]) -> None:
        self._axes = dict(axes)
        self.moments: dict[str, Moments] = {}

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors it wants."""
        return tuple(self._axes)

    def update(self, tensor: str, values: Array) -> None:
        """Take the values of one batch."""
        new = moments_of(values, self._axes[tensor])
        old = self.moments.get(tensor)
        self.moments[tensor] = new if old is None else old.plus(new)
