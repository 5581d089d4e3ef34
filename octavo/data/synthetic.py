"""Random inputs: the quick mode without calibration data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from octavo.arrays import Array
from octavo.data.base import CHUNK, LabelledBatch
from octavo.data.binding import Binder
from octavo.data.checked import CheckedDataset, checked
from octavo.errors import DataError, UsageError, nearest
from octavo.model import TensorSpec

_IDS = 10  # few enough for the smallest vocabulary


@dataclass(frozen=True)
class RandomInputs:
    """Samples drawn anew on each pass, the same ones each time.

    Attributes:
        inputs: what the model reads.
        size: how many samples.
        seed: another seed gives other samples.
        ranges: lowest and highest value by input name.
        shapes: shapes by input name; free dimensions of other inputs are 1.
    """

    inputs: tuple[TensorSpec, ...]
    size: int
    seed: int
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    name: str = "random data"

    def chunks(self) -> Iterator[LabelledBatch]:
        """Yield the samples, unlabelled."""
        binder = Binder(self.inputs)
        for start in range(0, self.size, CHUNK):
            samples = [self._sample(index) for index in range(start, min(self.size, start + CHUNK))]
            arrays = {
                spec.name: np.stack([sample[position] for sample in samples])
                for position, spec in enumerate(self.inputs)
            }
            arrays |= self._scalars()
            yield binder.bind(arrays, self.name)

    def _scalars(self) -> dict[str, Array]:
        """Return the inputs without axes, which belong to every sample."""
        first = zip(self.inputs, self._sample(0), strict=True)
        return {spec.name: value for spec, value in first if not spec.shape}

    def _sample(self, index: int) -> list[Array]:
        random = np.random.default_rng([self.seed, index])
        return [self._draw(spec, random) for spec in self.inputs]

    def _draw(self, spec: TensorSpec, random: np.random.Generator) -> Array:
        shape = (self.shapes.get(spec.name) or spec.concrete())[1:]
        limits = self.ranges.get(spec.name)
        values: Array
        if np.dtype(spec.dtype).kind == "f":
            values = random.uniform(*limits, shape) if limits else random.standard_normal(shape)
        elif limits:
            values = random.integers(int(limits[0]), int(limits[1]), shape, endpoint=True)
        elif spec.dtype == "bool":
            values = random.integers(0, 2, shape)
        else:
            values = _ids(spec.name.lower(), shape, random)
        return np.asarray(values, spec.dtype)


def random_dataset(
    inputs: Sequence[TensorSpec],
    samples: int = 32,
    seed: int = 0,
    *,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> CheckedDataset:
    """Return random samples, unlabelled, for trying a model out.

    Not to be trusted: ranges measured on them are not those of real data, and what is quantized by
    them is usually less accurate. Speed can be measured with them.

    Floats are uniform in the declared range, or standard normal. Integers are uniform in the
    declared range; without one they go by the input's name: a `mask` is ones and then zeros, token
    types (`type`, `segment`) are 0, `position` counts, all else are ids below 10.

    Args:
        inputs: what the model reads.
        samples: how many.
        seed: another seed gives other samples.
        ranges: lowest and highest value by input name, both included.
        shapes: shapes with the sample axis by input name, as in `Target.shapes`; free dimensions of
            inputs that are not named are 1.

    Raises:
        UsageError: a range is given for an input that does not exist, or is empty.
        DataError: `shapes` do not fit the model, or an input's type is not a number.
    """
    names = [spec.name for spec in inputs]
    for name, (low, high) in (ranges or {}).items():
        if name not in names:
            raise UsageError(f"a range for {name!r}, which is no input{nearest(name, names)}")
        if not low <= high:
            raise UsageError(f"input {name!r}: the range from {low} to {high} is empty")
    for spec in inputs:
        if np.dtype(spec.dtype).kind not in "fiub":
            raise DataError(f"input {spec} is not of numbers; give calibration data")
    return checked(RandomInputs(tuple(inputs), samples, seed, ranges or {}, shapes or {}), samples)


def _ids(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    length = shape[-1] if shape else 1
    if "mask" in name:
        kept = random.integers(1, length, endpoint=True)
        return np.broadcast_to(np.arange(length) < kept, shape)
    if "type" in name or "segment" in name:
        return np.zeros(shape, np.int64)
    if "position" in name:
        return np.broadcast_to(np.arange(length), shape)
    return random.integers(0, _IDS, shape)
