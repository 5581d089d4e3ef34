"""The timed loop itself, free of numpy: all that runs between two calls of a model."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """What one block of calls took.

    Attributes:
        started: the monotonic clock at its beginning, nanoseconds; Linux shares this clock between
            processes, so blocks of several workers can be laid side by side.
        latencies: nanoseconds of every call; they touch, so their sum is the wall-clock time.
    """

    started: int
    latencies: list[int]


def time_calls(
    run: Callable[[T], object],
    batch: T,
    *,
    seconds: float | None = None,
    iterations: int | None = None,
) -> Timing:
    """Call `run(batch)` again and again, and take the time of every call.

    Args:
        run: what is measured.
        batch: its argument.
        seconds: the first call that ends after this time is the last one; None is no limit.
        iterations: the most calls; None is no limit. One of the two limits must be given.
    """
    clock = time.perf_counter_ns
    latencies: list[int] = []
    record = latencies.append
    calls = itertools.repeat(None) if iterations is None else itertools.repeat(None, iterations)
    started = now = clock()
    end = sys.maxsize if seconds is None else started + int(seconds * 1e9)
    for _ in calls:
        run(batch)
        later = clock()
        record(later - now)
        now = later
        if now >= end:
            break
    return Timing(started, latencies)
