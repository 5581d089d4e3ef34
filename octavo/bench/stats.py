"""From blocks of timed calls to throughput, latency and a ratio with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from octavo.arrays import FloatArray

_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Block:
    """One uninterrupted run of calls of one model.

    Attributes:
        samples: samples per call.
        latencies: nanoseconds of every call, int64; they touch each other.
        started: the monotonic clock at its beginning, nanoseconds.
    """

    samples: int
    latencies: NDArray[np.int64]
    started: int = 0

    @property
    def completed(self) -> int:
        """Samples completed."""
        return self.samples * len(self.latencies)

    @property
    def seconds(self) -> float:
        """Wall-clock time."""
        return float(self.latencies.sum()) / 1e9


@dataclass(frozen=True)
class Latency:
    """Percentiles of the time of one call, milliseconds."""

    p50: float
    p90: float
    p99: float

    def to_json(self) -> dict[str, float]:
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


def latency(blocks: Sequence[Block]) -> Latency:
    """Return the latency percentiles over all calls of all blocks."""
    every = np.concatenate([block.latencies for block in blocks])
    return Latency(*(float(value) for value in np.percentile(every, [50, 90, 99]) / 1e6))


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
