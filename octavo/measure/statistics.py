"""What is remembered of the values of one tensor: the same for the same samples in any batches."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.errors import DataError, UsageError
from octavo.measure.counting import BinCounter
from octavo.measure.histogram import Histogram
from octavo.measure.samples import as_samples, blocks, check_finite, floating
from octavo.measure.sums import ExactSum, Moments, RowSums


class TensorStatistics:
    """Streaming statistics of one tensor, in memory that does not depend on how much was seen.

    The state is a function of the samples: neither their split into batches nor their order nor
    a merge of partial statistics changes a bit of it. Minima, maxima and counts are exact. The
    moments add exactly what is summed in a fixed order within each sample. The histogram is exact
    on its own bins (see `octavo.measure.histogram`).

    Args:
        channel_axis: also keep the extremes of each channel along this axis (negative ones count
            from the last); None keeps none.
        bins: the largest number of bins of the histogram, from 16 to 4096.
        limit: histogram and moments look at no more than this many values of each sample, evenly
            spread (see `octavo.measure.samples.as_samples`), None for all; extremes and `count` are
            always of all values.

    Attributes:
        count: number of values seen.
        minimum: the smallest value; infinity before the first one.
        maximum: the largest value; minus infinity before the first one.
        moments: count, sum and sum of squares.
        histogram: counts of the values.
        channel_minimum: float64, the smallest value of each channel; None where it is not kept, or
            before the first value.
        channel_maximum: the largest ones likewise.

    Raises:
        UsageError: an argument is out of its bounds.
    """

    def __init__(
        self, channel_axis: int | None = None, bins: int = 2048, limit: int | None = None
    ) -> None:
        _check(channel_axis, bins, limit)
        self.channel_axis = channel_axis
        self.bins = bins
        self.limit = limit
        self.count = 0
        self.minimum = math.inf
        self.maximum = -math.inf
        self.moments = Moments()
        self.histogram = Histogram()
        self.channel_minimum: FloatArray | None = None
        self.channel_maximum: FloatArray | None = None

    @property
    def mean(self) -> float:
        """The mean of the values; NaN before the first one."""
        return self.moments.mean

    @property
    def variance(self) -> float:
        """The mean squared distance from the mean; NaN before the first value."""
        return 0.0 if self.minimum == self.maximum else self.moments.variance

    def update(self, values: Array) -> None:
        """Take one batch; it is seen whole or, after an error, not at all.

        Args:
            values: real numbers of any dtype; axis 0 holds the samples, whose sizes may differ from
                batch to batch. Not changed, not kept.

        Raises:
            NonFiniteError: a value is NaN, infinite or beyond float32; the tensor is `"values"`.
            DataError: the values are not real numbers, or their channels differ from before.
        """
        values = floating(np.asarray(values))
        if values.size:
            low, high = self._update_extremes(values)
            self._grow(low, high)
            self._count(as_samples(values, self.limit))
            self.count += values.size

    def merge(self, other: TensorStatistics) -> None:
        """Take what `other` saw, as if it had been seen here.

        Raises:
            UsageError: the two were made with other arguments.
            DataError: their channels differ.
        """
        if self._arguments != other._arguments:
            raise UsageError("statistics can be merged only when made with the same arguments")
        if other.count:
            self._update_channels(other.channel_minimum, other.channel_maximum)
            self._grow(other.minimum, other.maximum)
            self.histogram = self.histogram.plus(self._fitted(other.histogram).counts)
            self.moments = self.moments.plus(other.moments)
            self.count += other.count

    @property
    def _arguments(self) -> tuple[int | None, int, int | None]:
        return self.channel_axis, self.bins, self.limit

    def _update_extremes(self, values: Array) -> tuple[float, float]:
        """Check the values and update the channels; return the smallest and the largest."""
        if self.channel_axis is None:
            low, high = float(values.min()) + 0.0, float(values.max()) + 0.0  # -0.0 becomes 0.0
            check_finite("values", values, low, high)
            return low, high
        lows, highs = _channel_extremes(values, self.channel_axis)
        low, high = float(lows.min()), float(highs.max())
        check_finite("values", values, low, high)
        self._update_channels(lows, highs)
        return low, high

    def _update_channels(self, lows: FloatArray | None, highs: FloatArray | None) -> None:
        if lows is None or highs is None:
            return
        if self.channel_minimum is None or self.channel_maximum is None:
            self.channel_minimum, self.channel_maximum = lows, highs
            return
        if len(lows) != len(self.channel_minimum):
            raise DataError(
                f"the values have {len(lows)} channels along axis {self.channel_axis}, "
                f"those before had {len(self.channel_minimum)}; "
                "expected the same number in every batch"
            )
        self.channel_minimum = np.minimum(self.channel_minimum, lows)
        self.channel_maximum = np.maximum(self.channel_maximum, highs)

    def _grow(self, low: float, high: float) -> None:
        self.minimum = min(self.minimum, low)
        self.maximum = max(self.maximum, high)
        self.histogram = self._fitted(self.histogram)

    def _fitted(self, histogram: Histogram) -> Histogram:
        return histogram.covering(min(self.minimum, 0.0), max(self.maximum, 0.0), self.bins)

    def _count(self, samples: Array) -> None:
        counter, sums = BinCounter(self.histogram, samples.dtype), RowSums()
        with np.errstate(under="ignore"):
            for block in blocks(samples):
                counter.add(block)
                sums.add(block)
        self.histogram = self.histogram.plus(counter.counts)
        self.moments = self.moments.plus(sums.moments())

    def to_arrays(self) -> dict[str, Array]:
        """Return the whole state as plain arrays; `from_arrays` reads it back."""
        axis = [] if self.channel_axis is None else [self.channel_axis]
        arrays = {
            "made_with": np.array([self.bins, self.limit or 0, *axis], np.int64),
            "counts": np.array([self.count, self.moments.count], np.int64),
            "extremes": np.array([self.minimum, self.maximum]),
            "total": np.array(self.moments.total.parts),
            "squares": np.array(self.moments.squares.parts),
            "bins": np.array([self.histogram.width_exponent, self.histogram.first], np.int64),
            "histogram": self.histogram.counts,
        }
        if self.channel_minimum is not None and self.channel_maximum is not None:
            arrays["channels"] = np.stack([self.channel_minimum, self.channel_maximum])
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> TensorStatistics:
        """Read what `to_arrays` returned."""
        bins, limit, *axis = arrays["made_with"].tolist()
        self = cls(axis[0] if axis else None, bins, limit or None)
        self.count, sampled = arrays["counts"].tolist()
        self.minimum, self.maximum = arrays["extremes"].tolist()
        total, squares = (ExactSum(tuple(arrays[key].tolist())) for key in ("total", "squares"))
        self.moments = Moments(sampled, total, squares)
        exponent, first = arrays["bins"].tolist()
        self.histogram = Histogram(exponent, first, arrays["histogram"])
        if "channels" in arrays:
            self.channel_minimum, self.channel_maximum = arrays["channels"]
        return self


def _check(channel_axis: int | None, bins: int, limit: int | None) -> None:
    if channel_axis == 0:
        raise UsageError("axis 0 holds the samples; expected another channel axis")
    if not 16 <= bins <= 4096:
        raise UsageError(f"a histogram of {bins} bins was asked for; expected 16 to 4096")
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} values was given; expected 1 or more, or None")


def _channel_extremes(values: Array, axis: int) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest value of each channel, as float64."""
    if not -values.ndim < axis < values.ndim:
        raise DataError(f"values of shape {values.shape} have no channel axis {axis}")
    others = tuple(set(range(values.ndim)) - {axis % values.ndim})
    lows, highs = values.min(axis=others), values.max(axis=others)
    return lows.astype(np.float64) + 0.0, highs.astype(np.float64) + 0.0  # -0.0 becomes 0.0
