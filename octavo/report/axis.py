"""Axes of a plot: round ticks and where values lie between its ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 5)
_WIDE = 10.0
"""Values whose largest is more than so many times the smallest are shown by their logarithm."""


@dataclass(frozen=True)
class Axis:
    """An axis that begins and ends at a tick.

    Attributes:
        ticks: where to draw ticks, ascending, at least two.
        logarithmic: equal ratios, not differences, are equally long.
    """

    ticks: tuple[float, ...]
    logarithmic: bool = False

    def position(self, value: float) -> float:
        """Return where a value lies, 0 at the first tick and 1 at the last; never beyond."""
        low, high = self._scaled(self.ticks[0]), self._scaled(self.ticks[-1])
        inside = min(max(value, self.ticks[0]), self.ticks[-1])
        return (self._scaled(inside) - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def axis_from_zero(largest: float, parts: int = 6) -> Axis:
    """Return an axis from 0 to a round number that is not below `largest`.

    Args:
        largest: the largest value.
        parts: into how many parts it is divided at most, roughly.
    """
    return Axis(_linear(0.0, largest if largest > 0 else 1.0, parts))


def axis_of(values: Sequence[float], parts: int = 6) -> Axis:
    """Return an axis that holds all of some positive numbers, logarithmic where they are far apart.

    Where all are equal it reaches from half of them to one and a half.

    Args:
        values: the numbers.
        parts: into how many parts it is divided at most, roughly.
    """
    low, high = min(values), max(values)
    if high > _WIDE * low:
        return Axis(_logarithmic(low, high, parts), logarithmic=True)
    if high - low < 1e-3 * high:  # nothing to tell apart
        low, high = low / 2, high * 1.5
    return Axis(_linear(low, high, parts))


def tick_text(value: float) -> str:
    """Return a tick as text, as short as it can be."""
    return f"{value:,.10g}"


def _linear(low: float, high: float, parts: int) -> tuple[float, ...]:
    power = 10.0 ** (math.floor(math.log10((high - low) / parts)))
    step = next(s * power for s in (*_STEPS, 10) if (high - low) / (s * power) <= parts)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(float(f"{number * step:.12g}") for number in range(first, last + 1))


def _logarithmic(low: float, high: float, parts: int) -> tuple[float, ...]:
    """Return 1, 2 and 5 of each power of ten if that is not too many, else powers alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1
    fine = _around(low, high, (f"{step}e{n}" for n in range(first, last + 1) for step in _STEPS))
    if len(fine) <= parts + 3:
        return fine
    every = math.ceil((last - first) / parts)
    return _around(low, high, (f"1e{n}" for n in range(first, last + every, every)))


def _around(low: float, high: float, numbers: Iterable[str]) -> tuple[float, ...]:
    """Return those of ascending numbers that are needed to reach from `low` to `high`."""
    ticks = [float(number) for number in numbers]
    begin = max(at for at, tick in enumerate(ticks) if tick <= low)
    end = min(at for at, tick in enumerate(ticks) if tick >= high)
    return tuple(ticks[begin : end + 1])
