"""The stretch of time in which all instances ran, and what each of them completed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from octavo.bench.stats import Block


@dataclass(frozen=True, eq=False)
class Calls:
    """The calls of one instance in one block.

    Attributes:
        started: the monotonic clock at the beginning of the first, nanoseconds.
        latencies: nanoseconds of every call, int64; they touch each other.
    """

    started: int
    latencies: NDArray[np.int64]

    @cached_property
    def moments(self) -> NDArray[np.int64]:
        """The beginning of every call, and the end of the last one."""
        return self.started + np.concatenate([[0], np.cumsum(self.latencies)])

    @property
    def ended(self) -> int:
        """The monotonic clock at the end of the last call, nanoseconds."""
        return int(self.moments[-1])

    def completed(self, begin: int, end: int) -> float:
        """Return the calls between two moments; one that crosses either counts by its part."""
        since = np.array([begin, end]) - self.started  # small, so that float64 is exact
        first, last = np.interp(since, self.moments - self.started, np.arange(len(self.moments)))
        return float(last - first)

    def begun_before(self, end: int) -> NDArray[np.int64]:
        """Return the latencies of the calls that began before a moment."""
        return self.latencies[self.moments[:-1] < end]


@dataclass(frozen=True, eq=False)
class Window:
    """One block of all instances of a model, from the last start to the first end.

    So all of them run from its beginning to its end. Where one began only after another had
    ended, which takes a machine that stands still, it is all of the time from the first start to
    the last end.

    Attributes:
        calls: of each instance.
    """

    calls: tuple[Calls, ...]

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Its beginning and its end on the monotonic clock, nanoseconds."""
        begin = max(one.started for one in self.calls)
        end = min(one.ended for one in self.calls)
        if begin < end:
            return begin, end
        return min(one.started for one in self.calls), max(one.ended for one in self.calls)

    @property
    def seconds(self) -> float:
        """Its wall-clock time."""
        begin, end = self.bounds
        return (end - begin) / 1e9

    def block(self, samples: int) -> Block:
        """Return what all instances together completed, with `samples` per call."""
        completed = sum(one.completed(*self.bounds) for one in self.calls)
        return Block(samples * completed, self.seconds)

    def block_of(self, instance: int, samples: int) -> Block:
        """Return what one instance completed, with `samples` per call."""
        return Block(samples * self.calls[instance].completed(*self.bounds), self.seconds)


def latencies(windows: Sequence[Window], instance: int) -> NDArray[np.int64]:
    """Return the latencies of the calls that an instance began in any of the windows."""
    return np.concatenate(
        [window.calls[instance].begun_before(window.bounds[1]) for window in windows]
    )
