"""What values the inputs have, and whether that looks like a mistake."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array
from octavo.data.base import Dataset
from octavo.data.batching import first_samples

_RATIO = 3.0
"""Standard deviations of the same kind of data, over many values, do not differ by so much."""


@dataclass(frozen=True)
class InputRange:
    """The values of one input over some samples; mean and std in float64.

    Attributes:
        shape: the shape of the first sample, without the sample axis.
        floating: the input holds floats.
        count: how many values were seen.
    """

    shape: tuple[int, ...]
    floating: bool
    count: int
    minimum: float
    maximum: float
    mean: float
    std: float

    @property
    def is_constant(self) -> bool:
        """Whether all of several values are the same."""
        return self.count > 1 and self.minimum == self.maximum

    @property
    def has_raw_pixels(self) -> bool:
        """Whether it looks like images of floats from 0 to 255."""
        image = len(self.shape) == 3 and {self.shape[0], self.shape[2]} & {1, 3}
        return bool(image) and self.floating and self.minimum >= 0 and 16 < self.maximum <= 255

    def __str__(self) -> str:
        return f"{self.minimum:.4g} to {self.maximum:.4g}, mean {self.mean:.4g}"


@dataclass
class _Moments:
    """Sums over the values seen so far."""

    shape: tuple[int, ...] = ()
    floating: bool = False
    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    total: float = 0.0
    squares: float = 0.0

    def update(self, array: Array) -> None:
        if not self.count:
            self.shape, self.floating = array.shape[1:], array.dtype.kind == "f"
        values = array.astype(np.float64)
        self.count += values.size
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))
        self.total += float(values.sum())
        self.squares += float(np.square(values).sum())

    def range(self) -> InputRange:
        mean = self.total / self.count
        std = math.sqrt(max(0.0, self.squares / self.count - mean * mean))
        return InputRange(
            self.shape, self.floating, self.count, self.minimum, self.maximum, mean, std
        )


def input_ranges(dataset: Dataset, samples: int = 256) -> dict[str, InputRange]:
    """Return the values of every input over the first `samples` samples.

    Raises:
        DataError: a sample cannot be read or does not fit the model.
    """
    moments: dict[str, _Moments] = {}
    for batch in first_samples(dataset.batches(), samples):
        for name, array in batch.inputs.items():
            moments.setdefault(name, _Moments()).update(array)
    return {name: found.range() for name, found in moments.items()}


def suspicious_ranges(
    calibration: Mapping[str, InputRange], evaluation: Mapping[str, InputRange] | None = None
) -> list[str]:
    """Return a warning, written for the user, for each float input whose values look wrong.

    An input is suspicious if it is constant, looks like images of raw pixels, or has clearly other
    values in the calibration than in the evaluation data.
    """
    roles = {"calibration": calibration, "evaluation": evaluation or {}}
    warnings: list[str] = []
    for name in calibration:
        found = {role: ranges[name] for role, ranges in roles.items() if name in ranges}
        if calibration[name].floating:
            warnings += _warnings(name, found)
    return warnings


def _warnings(name: str, found: Mapping[str, InputRange]) -> list[str]:
    warnings: list[str] = []
    constant = [role for role, values in found.items() if values.is_constant]
    if constant:
        value = found[constant[0]].minimum
        warnings.append(f"input {name!r} is {value:.4g} everywhere in the {_data(constant)}")
    raw = [role for role, values in found.items() if values.has_raw_pixels]
    if raw:
        warnings.append(
            f"input {name!r} looks like raw pixels ({found[raw[0]]}) in the {_data(raw)}; "
            f"most models want them scaled to 0..1 and normalized"
        )
    if len(found) > 1 and not constant and _differ(*found.values()):
        both = "; ".join(f"{role}: {values}" for role, values in found.items())
        warnings.append(
            f"input {name!r} has other values in the two data sets ({both}); "
            f"the same preprocessing must be applied to both"
        )
    return warnings


def _data(roles: list[str]) -> str:
    return f"{' and '.join(roles)} data"


def _differ(first: InputRange, second: InputRange) -> bool:
    """Whether scale, offset or sign are those of different preprocessing."""
    low, high = sorted((first.std, second.std))
    if high > _RATIO * low or abs(first.mean - second.mean) > _RATIO * high:
        return True
    below, above = sorted((first.minimum, second.minimum))
    return above >= 0 and below < -0.1 * max(first.maximum, second.maximum)
