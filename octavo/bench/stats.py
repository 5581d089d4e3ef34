"""From blocks of timed calls to throughput, latency and a ratio with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from octavo.arrays import FloatArray

_RESAMPLES = 2000


@dataclass(frozen=True)
class Block:
    """What one model did in one stretch of time.

    Attributes:
        completed: samples completed.
        seconds: wall-clock time.
    """

    completed: float
    seconds: float


@dataclass(frozen=True)
class Latency:
    """Percentiles of the time of one call, milliseconds.

    Attributes:
        p50: the median.
        p90: of ten calls one took longer.
        p99: of 100 calls one took longer.
        p999: of 1,000 calls one took longer; of fewer calls it is near to the longest. None in
            what was recorded without it.
    """

    p50: float
    p90: float
    p99: float
    p999: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Return a JSON-ready form."""
        return asdict(self)


@dataclass(frozen=True)
class Interval:
    """A value and its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """The interval's width relative to the value."""
        return (self.high - self.low) / self.value


def throughput(blocks: Sequence[Block]) -> float:
    """Return samples per second: completed samples over wall-clock time."""
    return sum(block.completed for block in blocks) / sum(block.seconds for block in blocks)


def latency(nanoseconds: NDArray[np.int64]) -> Latency:
    """Return the percentiles of the latencies of some calls."""
    values = np.percentile(nanoseconds, [50, 90, 99, 99.9]) / 1e6
    return Latency(*(float(value) for value in values))


def sample_of(nanoseconds: NDArray[np.int64], most: int = 2000) -> tuple[float, ...]:
    """Return latencies in milliseconds, sorted.

    Of more than `most` these are evenly spaced ones, with the shortest and the longest.
    """
    ordered = np.sort(nanoseconds)
    if len(ordered) > most:
        ordered = ordered[np.linspace(0, len(ordered) - 1, most).round().astype(np.intp)]
    return tuple(float(value) for value in ordered / 1e6)


def throughput_interval(blocks: Sequence[Block], *, seed: int = 0, level: float = 0.95) -> Interval:
    """Return the throughput with its confidence interval, by bootstrap over blocks."""
    columns = _columns(blocks)

    def rate(weights: FloatArray) -> FloatArray:
        completed, seconds = (weights @ columns).T
        return np.asarray(completed / seconds)

    return _bootstrap(rate, len(blocks), seed, level)


def ratio_interval(
    baseline: Sequence[Block], candidate: Sequence[Block], *, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the candidate's throughput over the baseline's, with its confidence interval.

    Block i of the one was measured right beside block i of the other, so that pairs are drawn: what
    slows both for a while, as other load on the machine does, leaves the ratio as it is.

    Args:
        baseline: blocks of the slower model, as a rule.
        candidate: as many blocks of the other one.
        seed: of the random draws.
        level: the share of such intervals that hold the true ratio.
    """
    columns = np.hstack([_columns(candidate), _columns(baseline)])

    def ratio(weights: FloatArray) -> FloatArray:
        completed, seconds, base_completed, base_seconds = (weights @ columns).T
        return np.asarray((completed / seconds) / (base_completed / base_seconds))

    return _bootstrap(ratio, len(baseline), seed, level)


def _columns(blocks: Sequence[Block]) -> FloatArray:
    return np.array([(block.completed, block.seconds) for block in blocks], dtype=np.float64)


def _bootstrap(
    statistic: Callable[[FloatArray], FloatArray], count: int, seed: int, level: float
) -> Interval:
    """Expanded percentile interval, which mends the narrowness of the bootstrap of few values.

    Source: Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 5.3.

    Args:
        statistic: maps rows of weights, one weight per block, to one value per row.
        count: the number of blocks.
        seed: of the random draws.
        level: the level of confidence.
    """
    value = float(statistic(np.ones((1, count)))[0])
    if count < 2:
        return Interval(value, 0.0, float("inf"))
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    quantile = stdtrit(count - 1, (1 - level) / 2)  # Student's t
    tail = float(ndtr(quantile * np.sqrt(count / (count - 1))))
    values = statistic(draws.astype(np.float64))
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
