"""What a user gives as a batch, turned into arrays that fit a model's inputs, or an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array
from octavo.data.base import LabelledBatch
from octavo.data.batching import cut
from octavo.data.checks import cast, check_finite, check_shape
from octavo.errors import DataError, nearest
from octavo.model import TensorSpec

LABEL = "label"
"""The name that holds the labels in an `.npz` file or a dict of arrays."""


@dataclass(frozen=True)
class Binder:
    """Checks batches against the inputs of one model.

    Attributes:
        inputs: what the model reads. Axis 0 of each is the sample axis; its size is not checked, as
            a model of a fixed batch size is fed through `batch_size`. One entry for an input whose
            axis 0 is fixed to 1, beside others whose axis 0 is free, is that of every sample.
    """

    inputs: tuple[TensorSpec, ...]

    def bind(self, item: object, where: str) -> LabelledBatch:
        """Return `item` as a batch of the model's dtypes, without a copy where it already is one.

        Args:
            item: an array for a model of one input, a dict of arrays by input name (and `label`), a
                pair of either with labels, or a `LabelledBatch`. An array is anything with
                `__array__`, tensors of other frameworks included.
            where: what `item` is, to begin an error with.

        Raises:
            DataError: it does not fit the model: a name, a dtype that cannot be cast without loss,
                a rank or a fixed dimension, unequal numbers of samples, NaN or infinity.
        """
        return self._fitted(self._arranged(item, where), where, 0)

    def split(self, item: object, where: str, size: int) -> Iterator[LabelledBatch]:
        """Yield what `bind` returns, `size` samples at a time; mapped files are read as needed."""
        batch = self._arranged(item, where)
        for start in range(0, batch.samples, size):
            yield self._fitted(cut(batch, start, start + size), where, start)

    def samples(self, item: object, where: str) -> int:
        """Return the number of samples of `item` without reading their values."""
        return self._arranged(item, where).samples

    def _arranged(self, item: object, where: str) -> LabelledBatch:
        """Return `item` as arrays by name of equal numbers of samples; values are not looked at."""
        values, labels = _parted(item, where)
        named = dict(values) if isinstance(values, Mapping) else {self._only(where): values}
        if labels is None and LABEL not in self._names:
            labels = named.pop(LABEL, None)
        self._check_names(named, where)
        arrays = {spec.name: as_array(named[spec.name], spec.name, where) for spec in self.inputs}
        batch = LabelledBatch(
            self._repeated(arrays), None if labels is None else as_array(labels, LABEL, where)
        )
        _check_samples(batch, where, self._lone_hint)
        return batch

    @property
    def _fixed(self) -> tuple[TensorSpec, ...]:
        """Inputs whose first dimension is fixed while that of another one is free."""
        shaped = [spec for spec in self.inputs if spec.shape]
        free = any(not isinstance(spec.shape[0], int) for spec in shaped)
        return tuple(spec for spec in shaped if free and isinstance(spec.shape[0], int))

    def _repeated(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays in which the one entry of inputs of size 1 is that of every sample."""
        samples = max((len(array) for array in arrays.values() if array.ndim), default=1)
        single = {spec.name for spec in self._fixed if spec.shape[0] == 1}
        return {
            name: np.broadcast_to(array, (samples, *array.shape[1:]))
            if name in single and array.ndim and len(array) == 1
            else array
            for name, array in arrays.items()
        }

    @property
    def _lone_hint(self) -> str:
        """What to do about an input that has no sample axis; empty where each has one."""
        if not self._fixed:
            return ""
        return (
            f"; the first dimension of input {self._fixed[0]} is fixed and does not count samples: "
            "make the input a constant of the model, or that dimension the batch"
        )

    def _fitted(self, batch: LabelledBatch, where: str, first: int) -> LabelledBatch:
        """Return `batch`, whose first sample is number `first`, checked and cast."""
        inputs: dict[str, Array] = {}
        for spec in self.inputs:
            array = batch.inputs[spec.name]
            check_shape(array, spec, where)
            check_finite(array, f"input {spec.name!r}", where, first)
            inputs[spec.name] = cast(array, spec, where)
        if batch.labels is not None:
            check_finite(batch.labels, "the label", where, first)
        return LabelledBatch(inputs, batch.labels)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.inputs)

    def _only(self, where: str) -> str:
        """Return the name of the model's one input, which an array without a name is for."""
        if len(self.inputs) == 1:
            return self.inputs[0].name
        names = ", ".join(map(repr, self._names))
        raise DataError(
            f"{where}: an array without a name, but the model has {len(self.inputs)} inputs; "
            f"give arrays by name: {names}"
        )

    def _check_names(self, named: Mapping[str, object], where: str) -> None:
        expected = ", ".join(map(repr, self._names))
        for name in named:
            if name not in self._names:
                hint = nearest(str(name), (*self._names, LABEL))
                raise DataError(
                    f"{where}: the model has no input {name!r}{hint}; its inputs are {expected}"
                )
        for name in self._names:
            if name not in named:
                given = ", ".join(map(repr, named)) or "nothing"
                raise DataError(
                    f"{where}: input {name!r} is missing; the model needs {expected}, not {given}"
                )


def as_array(value: object, name: str, where: str) -> Array:
    """Return `value` as an array of numbers or text, without a copy where it is one.

    Raises:
        DataError: it is none: ragged, objects, or a tensor that is not in main memory.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{where}: {name!r} cannot be read as an array: {error}") from error
    if array.dtype.kind == "O":
        kind = type(value).__name__
        raise DataError(f"{where}: {name!r} is not an array of numbers ({kind} of Python objects)")
    return array


def _parted(item: object, where: str) -> tuple[object, object]:
    """Return the inputs and the labels, None for no labels, of what was given as a batch."""
    if isinstance(item, LabelledBatch):
        return item.inputs, item.labels
    if isinstance(item, tuple | list):
        if len(item) == 2:
            return item[0], item[1]
        if len(item) == 1:
            return item[0], None
    elif isinstance(item, Mapping) or hasattr(item, "__array__"):
        return item, None
    size = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    raise DataError(
        f"{where}: a batch is an array, a dict of arrays or a pair (inputs, labels), "
        f"not a {type(item).__name__}{size}"
    )


def _check_samples(batch: LabelledBatch, where: str, hint: str) -> None:
    """Raise, with `hint`, unless every array has one entry per sample on axis 0."""
    counts = {name: len(array) for name, array in batch.inputs.items() if array.ndim}
    if batch.labels is not None:
        if not batch.labels.ndim:
            raise DataError(f"{where}: one label for all; there must be one per sample")
        counts[LABEL] = len(batch.labels)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise DataError(f"{where}: unequal numbers of samples (axis 0): {listed}{hint}")
