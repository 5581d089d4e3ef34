"""Axes of a plot: round ticks and where values lie between its ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / parts))
    steps = _STEPS if 3 * (last - first) <= parts else (1,)
    powers = range(first, last + 1 + every, every)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    above = next(i for i, tick in enumerate(ticks) if tick >= high)
    below = max(i for i, tick in enumerate(ticks) if tick <= low)
    return tuple(ticks[below : above + 1])
