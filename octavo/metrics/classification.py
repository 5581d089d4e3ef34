"""Metrics of classifiers: one score per class and one integer label per sample."""

from __future__ import annotations

from typing import Literal

import numpy as np

from octavo.arrays import Array, FloatArray, IntArray
from octavo.errors import DataError
from octavo.metrics.base import (
    Bounds,
    Mean,
    Needs,
    Outputs,
    check_numbers,
    chosen_output,
    labels_of,
)


class TopK:
    """The share of samples whose label is among the `k` classes of the highest scores.

    Of equal scores the lower class comes first, as in `numpy.argmax`: a model whose scores are all
    equal is not right everywhere.
    """

    higher_is_better = True
    needs: Needs = "labels"
    per_sample = True
    bounds: Bounds | None = (0.0, 1.0)

    def __init__(self, k: int) -> None:
        self.name = f"top{k}"
        self._k = k
        self._mean = Mean()

    def update(self, outputs: Outputs, target: Array | Outputs) -> FloatArray:
        """Take scores `[N, C]` and labels `[N]`; return 1.0 for samples that are right, else 0.0.

        Raises:
            DataError: the shapes or dtypes are others, a label is no class, or all are among `k`.
            NonFiniteError: a score is NaN.
        """
        scores, labels = classes_and_labels(self.name, outputs, target)
        if scores.shape[1] <= self._k:
            raise DataError(
                f"{self.name}: the model has {scores.shape[1]} classes, so that every label would "
                f"be among the first {self._k}; use top1"
            )
        own = np.take_along_axis(scores, labels[:, None], axis=1)
        before = np.arange(scores.shape[1]) < labels[:, None]
        rank = np.count_nonzero((scores > own) | ((scores == own) & before), axis=1)
        return self._mean.add((rank < self._k).astype(np.float64))

    def value(self) -> float:
        """Return the share of samples that were right, 0..1."""
        return self._mean.value(self.name)


class F1:
    """The F1 score, the harmonic mean of precision and recall.

    `binary`: of class 1. `macro`: the mean over the classes that occur as a label or a prediction,
    as in scikit-learn. `auto`: binary for two classes, else macro.
    """

    higher_is_better = True
    needs: Needs = "labels"
    per_sample = False
    bounds: Bounds | None = None

    def __init__(self, name: str, average: Literal["auto", "binary", "macro"]) -> None:
        self.name = name
        self._average = average
        self._classes = 0
        self._found: list[Array] = []  # [2, n]: predictions and labels of samples

    def update(self, outputs: Outputs, target: Array | Outputs) -> FloatArray:
        """Take scores `[N, C]` and labels `[N]`; return no scores, as samples have none.

        Raises:
            DataError: the shapes or dtypes are others, or a label is no class.
            NonFiniteError: a score is NaN.
        """
        scores, labels = classes_and_labels(self.name, outputs, target)
        if self._classes not in (0, scores.shape[1]):
            raise DataError(f"{self.name}: the number of classes changed to {scores.shape[1]}")
        self._classes = scores.shape[1]
        self._found.append(np.stack([scores.argmax(axis=1), labels]))
        return np.empty(0)

    def value(self) -> float:
        """Return F1 over all samples, 0..1; a class never labelled nor predicted has none."""
        if not self._found:
            raise DataError(f"{self.name}: no sample was evaluated")
        return self._value(*self._joined())

    def value_of(self, indices: IntArray) -> float:
        """Return F1 over the samples of these indices, int64 `[n]`, which may repeat."""
        return self._value(*self._joined()[:, indices])

    def _joined(self) -> Array:
        if len(self._found) > 1:
            self._found = [np.concatenate(self._found, axis=1)]
        return self._found[0]

    def _value(self, predictions: Array, labels: Array) -> float:
        hits, predicted, labelled = (
            np.bincount(found, minlength=self._classes)
            for found in (labels[predictions == labels], predictions, labels)
        )
        both = predicted + labelled
        scores = 2 * hits / np.maximum(both, 1)
        if self._average == "binary" or (self._average == "auto" and len(both) == 2):
            return float(scores[1])
        return float(scores[both > 0].mean())


def classes_and_labels(
    metric: str, outputs: Outputs, target: Array | Outputs
) -> tuple[Array, Array]:
    """Return class scores `[N, C]` and labels int64 `[N]`; axes of size 1 after those are dropped.

    Raises:
        DataError: the shapes or dtypes are others, or a label is no class.
        NonFiniteError: a score is NaN.
    """
    name, output = chosen_output(outputs)
    labels = labels_of(target, metric)
    scores = output.reshape(output.shape[:2]) if _flat(output.shape, 2) else output
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise DataError(
            f"{metric} needs one score per class, [N, C]; output {name!r} is {list(output.shape)}: "
            f"choose a metric that fits this model"
        )
    check_numbers(name, scores, infinity=True)
    return scores, _labels(metric, labels, *scores.shape)


def _labels(metric: str, labels: Array, samples: int, classes: int) -> Array:
    if not _flat(labels.shape, 1) or len(labels) != samples:
        raise DataError(
            f"{metric} needs one label per sample, [{samples}]; the labels are "
            f"{list(labels.shape)}: give class numbers, not one value per class"
        )
    if labels.dtype.kind not in "iub":
        raise DataError(f"{metric} needs labels that are class numbers; they are {labels.dtype}")
    flat = labels.reshape(samples).astype(np.int64)
    wrong = (flat < 0) | (flat >= classes)
    if wrong.any():
        raise DataError(
            f"{metric}: label {flat[wrong][0]} is no class of this model, which has classes "
            f"0 to {classes - 1}; were the labels made for another model?"
        )
    return flat


def _flat(shape: tuple[int, ...], axes: int) -> bool:
    """Whether there are `axes` axes and none of more than one element after them."""
    return len(shape) >= axes and all(size == 1 for size in shape[axes:])
