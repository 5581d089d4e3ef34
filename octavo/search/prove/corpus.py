"""Metrics that have a value for many samples only (F1, mAP, BLEU): a paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from octavo.arrays import IntArray
from octavo.search.prove.margin import Margin

Values: TypeAlias = Callable[[IntArray], tuple[float, float]]
"""Computes the metric of FP32 and of INT8 over the samples of these indices, which may repeat."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A margin and how far it may be off.

    Attributes:
        fp32: the metric's value of the float model.
        int8: the metric's value of the quantized model.
        margin: what is left of the tolerance, in the metric's units.
        error: its standard error for independent samples.
        tail: the share of resamples in which the margin lies on the other side of 0.
        weight: what one sample can weigh: the value of FP32 or INT8, or what the skewness of the
            resamples tells where that is more.
    """

    fp32: float
    int8: float
    margin: float
    error: float
    tail: float
    weight: float


def bootstrap(
    values: Values, indices: IntArray, margin: Margin, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate the margin of a metric over some samples.

    Samples are drawn with replacement, for both models the same ones (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapters 6 and 13). Resamples in which a metric is not
    finite, such as an F1 without positives, are left out.

    Args:
        values: computes both values; called `resamples` + 1 times.
        indices: the samples, int64 `[n]`.
        margin: the tolerance and the direction.
        seed: of the draws.
        resamples: how many are drawn.
    """
    fp32, int8 = values(indices)
    point = margin.of_values(fp32, int8)
    random = np.random.default_rng(seed)
    drawn = np.array(
        [margin.of_values(*values(random.choice(indices, len(indices)))) for _ in range(resamples)]
    )
    drawn = drawn[np.isfinite(drawn)]
    weight = max(abs(fp32), abs(int8))
    if len(drawn) < 2:
        return Estimate(fp32, int8, point, np.inf, 1.0, weight)
    other = drawn < 0 if point >= 0 else drawn >= 0
    error = float(drawn.std(ddof=1))
    if error > 0:  # the third cumulant over the second: the size of rare losses, as if Poisson
        third = float(np.mean((drawn - drawn.mean()) ** 3)) * (-1 if point >= 0 else 1)
        weight = max(weight, len(indices) * third / error**2)
    return Estimate(fp32, int8, point, error, float(other.mean()), weight)
