"""How much a model does what another one does: what can be told without labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.errors import DataError, UnequalSizesError
from octavo.metrics.base import Bounds, Mean, Needs, Outputs, check_numbers


class Agreement:
    """The mean agreement with the outputs of the FP32 model, 1 where nothing changed.

    Of an output of class scores `[N, C]` with C > 1: 1.0 for the same class, else 0.0. Of other
    floats: the cosine similarity of each sample's values; of a single value, where the cosine tells
    the sign only, 1 minus its relative change. Of integers and booleans: the share of equal values.
    Several outputs count equally. An output whose axis 0 is not that of the samples is compared as
    a whole.

    Where FP32 puts every sample into one class, an equal class says next to nothing. Outputs named
    in `numeric` score the cosine similarity for the same class in place of 1.0. Outputs named in
    `ranked` are no class scores, and score the cosine similarity alone.
    """

    name = "agreement"
    higher_is_better = True
    needs: Needs = "reference"
    per_sample = True

    def __init__(self, numeric: Collection[str] = (), ranked: Collection[str] = ()) -> None:
        """Make a metric.

        Args:
            numeric: outputs of class scores whose values count too, as `single_class` gives them.
            ranked: outputs of sorted values, as `ranked` gives them.
        """
        self._mean = Mean()
        self._each: dict[str, Mean] = {}
        self._numeric = frozenset(numeric)
        self._known_ranked = frozenset(ranked)
        self._order: dict[str, float] = {}
        self._classes: dict[str, set[int]] = {}
        self._infinite: set[str] = set()
        self._signed = bool(self._numeric or self._known_ranked)

    @property
    def bounds(self) -> Bounds:
        """0 to 1 where all outputs so far are classes or whole numbers, else -1 to 1."""
        return (0.0, 1.0) if self._each and not self._signed else (-1.0, 1.0)

    @property
    def single_class(self) -> tuple[str, ...]:
        """Outputs of finite class scores in which the FP32 model gave one class so far."""
        found = (name for name, classes in self._classes.items() if len(classes) == 1)
        values = self._infinite.union(self.ranked)
        return tuple(name for name in found if name not in values)

    @property
    def ranked(self) -> tuple[str, ...]:
        """Outputs whose values FP32 sorts from large to small, as TopK does, and not by chance.

        Of C class scores with the largest first, one in (C - 1)! has the others in order too.
        """
        found = (name for name, order in self._order.items() if order > _NO_CHANCE)
        return tuple(name for name in found if name not in self._infinite)

    @property
    def outputs(self) -> dict[str, float]:
        """The mean agreement of each output so far, by name."""
        return {name: mean.value(name) for name, mean in self._each.items()}

    def update(self, outputs: Outputs, target: Array | Outputs) -> FloatArray:
        """Take the outputs of both models for the same samples.

        Raises:
            DataError: they differ in names, or in shapes (`UnequalSizesError`).
            NonFiniteError: an output is not finite (NaN, for class scores).
        """
        if not isinstance(target, Mapping):
            raise DataError("agreement compares with the outputs of a model, and was given labels")
        if outputs.keys() != target.keys():
            raise DataError(f"agreement: outputs {list(outputs)} against {list(target)}")
        samples = len(np.atleast_1d(next(iter(target.values()))))
        each = {name: self._scores(name, outputs[name], target[name], samples) for name in target}
        for name, scores in each.items():
            self._each.setdefault(name, Mean()).add(scores)
        return self._mean.add(np.mean(list(each.values()), axis=0))

    def _scores(self, name: str, values: Array, reference: Array, samples: int) -> FloatArray:
        """Return the agreement of one output, float64 `[samples]`."""
        if values.shape != reference.shape:
            raise UnequalSizesError(
                f"agreement: output {name!r} is {list(values.shape)}, and {list(reference.shape)} "
                "of the FP32 model; give labels and a metric of your own for outputs of changing "
                "size"
            )
        is_classes = values.ndim == 2 and len(values) == samples and values.shape[1] > 1
        if is_classes and reference.dtype.kind == "f":
            return self._class_scores(name, values, reference)
        self._signed = self._signed or reference.dtype.kind == "f"
        rows = samples if values.ndim and len(values) == samples else 1
        return np.broadcast_to(_closeness(name, values, reference, rows), samples)

    def _class_scores(self, name: str, values: Array, reference: Array) -> FloatArray:
        for array in (values, reference):
            check_numbers(name, array, infinity=True)
        classes = reference.argmax(axis=1)
        self._classes.setdefault(name, set()).update(classes.tolist())
        if not np.isfinite(reference).all():
            self._infinite.add(name)
        self._order[name] = self._order.get(name, 0.0) + _order(reference)
        if name in self._known_ranked:
            return _closeness(name, values, reference, len(values))
        same = np.asarray(values.argmax(axis=1) == classes, np.float64)
        if name not in self._numeric:
            return same
        return same * _closeness(name, values, reference, len(values))

    def value(self) -> float:
        """Return the mean agreement over all samples, 1 for equal outputs."""
        return self._mean.value(self.name)


def _order(rows: Array) -> float:
    """Return how surely rows `[N, C]` are sorted: minus the log of what chance makes of it.

    Minus infinity where a row is not; rows of equal values tell nothing.
    """
    if (rows[:, 1:] > rows[:, :-1]).any():
        return -math.inf
    return int((rows[:, -1] < rows[:, 0]).sum()) * math.lgamma(rows.shape[1])


def _closeness(name: str, values: Array, reference: Array, rows: int) -> FloatArray:
    """Return how near the values of each row are, float64 `[rows]`."""
    own, others = values.reshape(rows, -1), reference.reshape(rows, -1)
    if reference.dtype.kind != "f":
        return np.asarray((own == others).mean(axis=1) if own.size else np.ones(rows))
    for array in (values, reference):
        check_numbers(name, array)
    alone = own.shape[1] == 1
    return relative_closeness(own, others) if alone else cosine_similarity(own, others)


_NO_CHANCE = math.log(1000)
_TINY = np.finfo(np.float64).tiny


def cosine_similarity(first: Array, second: Array) -> FloatArray:
    """Return the cosine between the rows of two arrays `[N, D]`, float64 `[N]` in -1..1.

    Equal rows give exactly 1, even rows of zeros; a row of zeros and another one give 0.
    """
    cosine = (_unit_rows(first) * _unit_rows(second)).sum(axis=1)
    return np.where((first == second).all(axis=1), 1.0, np.clip(cosine, -1.0, 1.0))


def relative_closeness(first: Array, second: Array) -> FloatArray:
    """Return `1 - |a - b| / max(|a|, |b|)` of two arrays `[N, 1]`, float64 `[N]` in -1..1.

    Equal values give 1, a double or half 0.5, zero and another value 0.
    """
    a, b = first[:, 0].astype(np.float64), second[:, 0].astype(np.float64)
    return np.asarray(1.0 - np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), _TINY))


def _unit_rows(rows: Array) -> FloatArray:
    """Return rows of length 1; rows of zeros stay as they are."""
    values = rows.astype(np.float64)
    values /= np.maximum(np.abs(values).max(axis=1, initial=0, keepdims=True), _TINY)
    lengths = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _TINY)
    return np.asarray(values / lengths)
