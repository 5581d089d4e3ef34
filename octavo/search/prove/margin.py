"""What of the tolerance is left, as one number per sample whose mean is to be shown >= 0."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from octavo.arrays import FloatArray
from octavo.errors import DataError, UsageError
from octavo.metrics.base import Bounds
from octavo.tolerance import Tolerance

_ROUNDING = 1e-9
_LEAST = 1e-6
"""Share of the range by which each bound lies beyond 0 at least, so that bets stay finite."""


@dataclass(frozen=True)
class Margin:
    """The paired difference: d = q - (1 - tolerance) * f where higher is better.

    It is d = (1 + tolerance) * f - q where lower is better, and with an absolute tolerance
    d = q - f + tolerance, or f - q + tolerance. All are linear in both scores, so that their mean
    is that of the models' values, the uncertainty of FP32's own value included.

    Attributes:
        tolerance: the accepted loss.
        higher_is_better: the metric's direction.
        bounds: of the INT8 model's scores; None where a score can be any number.
        fp32_bounds: of the FP32 model's scores, where they are narrower: (1, 1) for agreement
            with FP32. None: as `bounds`.
    """

    tolerance: Tolerance
    higher_is_better: bool = True
    bounds: Bounds | None = None
    fp32_bounds: Bounds | None = None

    def __post_init__(self) -> None:
        for low, high in filter(None, (self.bounds, self.fp32_bounds)):
            if not low <= high or not np.isfinite([low, high]).all():
                raise UsageError(f"scores cannot lie between {low} and {high}")

    def of(self, fp32: FloatArray | float, int8: FloatArray | float) -> FloatArray:
        """Return d for scores of both models, or for their values.

        Raises:
            DataError: a score is outside of the bounds, is not finite, or the shapes differ.
        """
        f, q = np.asarray(fp32, np.float64), np.asarray(int8, np.float64)
        if f.shape != q.shape:
            raise DataError(f"scores of {f.shape} FP32 samples against {q.shape} of INT8")
        _check(f, self.fp32_bounds or self.bounds, "FP32")
        _check(q, self.bounds, "INT8")
        return self._difference(f, q)

    def of_values(self, fp32: float, int8: float) -> float:
        """Return d for the values of a metric that samples have no scores for."""
        return float(self._difference(np.float64(fp32), np.float64(int8)))

    def _difference(self, f: FloatArray | np.float64, q: FloatArray | np.float64) -> FloatArray:
        gain = q - f if self.higher_is_better else f - q
        slack = self.tolerance.value * (f if self.tolerance.relative else 1.0)
        return np.asarray(gain + slack)

    def range(self) -> Bounds:
        """Return the least and the greatest d, which lie on both sides of 0.

        Raises:
            UsageError: scores have no bounds.
        """
        if self.bounds is None:
            raise UsageError("the scores have no bounds; give the metric's range per sample")
        corners = product(self.fp32_bounds or self.bounds, self.bounds)
        found = [float(self._difference(np.float64(f), np.float64(q))) for f, q in corners]
        low, high = min(found), max(found)
        least = _LEAST * max(high - low, abs(low), abs(high))
        return min(low, -least), max(high, least)


def _check(scores: FloatArray, bounds: Bounds | None, model: str) -> None:
    if not np.isfinite(scores).all():
        raise DataError(f"a score of {model} is not finite")
    if bounds is None or not scores.size:
        return
    low, high = bounds
    slack = _ROUNDING * max(1.0, high - low)
    if scores.min() < low - slack or scores.max() > high + slack:
        raise DataError(
            f"scores of {model} reach from {scores.min():g} to {scores.max():g}, and were said to "
            f"lie between {low:g} and {high:g}; give the metric's true range per sample"
        )
