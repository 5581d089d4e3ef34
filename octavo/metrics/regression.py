"""Metrics of models whose output is compared with a label number by number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from octavo.arrays import Array, FloatArray
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


class MeanError:
    """The mean over samples of a sample's mean error.

    Attributes:
        name: what the user calls it.
    """

    higher_is_better = False
    needs: Needs = "labels"
    per_sample = True
    bounds: Bounds | None = None

    def __init__(self, name: str, error: Callable[[FloatArray], FloatArray]) -> None:
        """Make a metric.

        Args:
            name: what the user calls it.
            error: what is averaged, element by element, from the difference to the label.
        """
        self.name = name
        self._error = error
        self._mean = Mean()

    def update(self, outputs: Outputs, target: Array | Outputs) -> FloatArray:
        """Take an output and labels of the same shape, axes of size 1 aside.

        Raises:
            DataError: the shapes differ, or the labels are no numbers.
            NonFiniteError: the output is not finite.
        """
        name, output = chosen_output(outputs)
        labels = labels_of(target, self.name)
        if labels.dtype.kind not in "fiub":
            raise DataError(f"{self.name} needs labels that are numbers; they are {labels.dtype}")
        if _sizes(output) != _sizes(labels):
            raise DataError(
                f"{self.name} needs labels of the shape of output {name!r}, {list(output.shape)}; "
                f"they are {list(labels.shape)}"
            )
        check_numbers(name, output)
        samples = len(output)
        difference = output.astype(np.float64).reshape(samples, -1) - labels.reshape(samples, -1)
        return self._mean.add(self._error(difference).mean(axis=1))

    def value(self) -> float:
        """Return the mean error over all samples."""
        return self._mean.value(self.name)


def mse() -> MeanError:
    """Return the mean squared error."""
    return MeanError("mse", np.square)


def mae() -> MeanError:
    """Return the mean absolute error."""
    return MeanError("mae", np.abs)


def _sizes(array: Array) -> tuple[int, ...]:
    """Axis 0, and all others that have more than one element."""
    return array.shape[:1] + tuple(size for size in array.shape[1:] if size != 1)
