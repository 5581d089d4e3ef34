"""What every metric offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from octavo.arrays import Array, FloatArray, IntArray
from octavo.errors import DataError, NonFiniteError

Outputs: TypeAlias = Mapping[str, Array]
"""A model's outputs by name; axis 0 = samples."""

Needs: TypeAlias = Literal["labels", "reference"]
"""What outputs are compared with: labels, or the outputs of another model (FP32)."""


Bounds: TypeAlias = tuple[float, float]
"""The least and the greatest score that one sample can have."""


class Metric(Protocol):
    """A score that is gathered batch by batch; one object serves one pass over the data."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """The direction."""
        ...

    @property
    def needs(self) -> Needs:
        """Whether `target` is the labels or the outputs of the model to be compared with."""
        ...

    @property
    def per_sample(self) -> bool:
        """Whether `value` is the mean of per-sample scores; else it has a meaning for all only."""
        ...

    @property
    def bounds(self) -> Bounds | None:
        """The least and the greatest score of a sample; None where it can be any number."""
        ...

    def update(self, outputs: Outputs, target: Array | Outputs) -> FloatArray:
        """Take one batch.

        Args:
            outputs: what the model made.
            target: labels, or outputs of the reference model, as `needs` tells.

        Returns:
            float64 `[N]`, a score per sample; `[0]` if the metric is not `per_sample`.

        Raises:
            DataError: outputs and target do not fit each other or the metric.
            NonFiniteError: an output holds NaN or, where it matters, infinity.
        """
        ...

    def value(self) -> float:
        """Return the score over all batches so far.

        Raises:
            DataError: there was none.
        """
        ...


@runtime_checkable
class CorpusMetric(Metric, Protocol):
    """A metric that many samples have together, of which any part can be looked at."""

    def value_of(self, indices: IntArray) -> float:
        """Return the score over some samples.

        Args:
            indices: counted in the order in which samples came, int64 `[n]`; they may repeat.
        """
        ...


class Mean:
    """The mean of the scores of all samples so far."""

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def add(self, scores: FloatArray) -> FloatArray:
        """Take the scores of a batch, float64 `[N]`, and return them."""
        self._total += float(scores.sum())
        self._count += len(scores)
        return scores

    def value(self, name: str) -> float:
        """Return the mean for the metric called `name`.

        Raises:
            DataError: there were no scores.
        """
        if not self._count:
            raise DataError(f"{name}: no sample was evaluated")
        return self._total / self._count


def chosen_output(outputs: Outputs) -> tuple[str, Array]:
    """Return the name and values of the output to look at: `logits`, or else the first."""
    name = "logits" if "logits" in outputs else next(iter(outputs))
    return name, outputs[name]


def labels_of(target: Array | Outputs, metric: str) -> Array:
    """Return `target` as labels.

    Raises:
        DataError: it is outputs of another model.
    """
    if isinstance(target, Mapping):
        raise DataError(f"{metric} compares with labels, and was given outputs of a model")
    return np.asarray(target)


def check_numbers(name: str, values: Array, *, infinity: bool = False) -> None:
    """Raise `NonFiniteError` if a tensor holds NaN, or infinity where it is not allowed."""
    if values.dtype.kind not in "fc":
        return
    bad = np.isnan(values) if infinity else ~np.isfinite(values)
    if bad.any():
        raise NonFiniteError(name, int(bad.sum()))
