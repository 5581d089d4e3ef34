"""A metric from a function of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.errors import DataError, OctavoError
from octavo.metrics.base import Bounds, Mean, Needs, Outputs, labels_of


class FunctionMetric:
    """The mean of what a function gives per sample.

    The function gets the outputs by name (arrays, axis 0 = samples) and the labels, and returns a
    number per sample. A function attribute `higher_is_better = False` turns the direction;
    `bounds = (0, 1)` says where scores lie, which proves more from fewer samples.

    Attributes:
        name: what the user calls it.
        higher_is_better: the direction.
        bounds: the least and the greatest score of a sample, None where the function has none.
    """

    needs: Needs = "labels"
    per_sample = True

    def __init__(self, name: str, function: Callable[[Outputs, Array], Any]) -> None:
        self.name = name
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        self.bounds: Bounds | None = _bounds(name, getattr(function, "bounds", None))
        self._function = function
        self._mean = Mean()

    def update(self, outputs: Outputs, target: Array | Outputs) -> FloatArray:
        """Take one batch.

        Raises:
            DataError: the function failed, or did not return one finite number per sample.
        """
        labels = labels_of(target, self.name)
        try:
            scores = np.asarray(self._function(outputs, labels), np.float64)
        except OctavoError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise DataError(f"{self.name}: the metric failed: {kind}: {error}") from error
        if scores.shape != (len(labels),):
            raise DataError(
                f"{self.name}: the metric must return one score per sample, [{len(labels)}]; "
                f"it returned {list(scores.shape)}"
            )
        if not np.isfinite(scores).all():
            raise DataError(f"{self.name}: the metric returned NaN or infinity")
        return self._mean.add(scores)

    def value(self) -> float:
        """Return the mean score over all samples."""
        return self._mean.value(self.name)


def _bounds(name: str, given: Any) -> Bounds | None:
    if given is None:
        return None
    try:
        low, high = (float(one) for one in given)
    except (TypeError, ValueError):
        raise DataError(f"{name}: bounds are {given!r}; give two numbers, such as (0, 1)") from None
    if not low < high or not np.isfinite([low, high]).all():
        raise DataError(f"{name}: scores cannot lie between {low:g} and {high:g}")
    return low, high
