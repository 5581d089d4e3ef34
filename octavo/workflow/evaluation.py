"""What an evaluation gives, and the forms in which users say how to evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from octavo.arrays import Array, Batch, FloatArray, IntArray
from octavo.backends.base import Session
from octavo.metrics.base import Bounds
from octavo.workflow.reporter import Advance

Predict: TypeAlias = Callable[[Array | Batch], Array | dict[str, Array]]
"""A loaded model: takes an array (one input) or a dict of arrays, returns the same forms."""

MetricSource: TypeAlias = str | Callable[[Mapping[str, Array], Array], object]
"""The name of a metric, or a function of the user's as `octavo.metrics.get_metric` takes it."""


@dataclass(frozen=True)
class Evaluation:
    """One model's result.

    Attributes:
        value: of the metric.
        scores: one per sample, float64; None where only the value has a meaning.
        metric: its name.
        higher_is_better: its direction.
        samples: how many samples were judged; None where a function of the user's gave the score.
        unscored: the outputs cannot be compared (their sizes differ); `value` is NaN.
        outputs: the value of each output by name, where the metric is a mean over outputs.
        bounds: the least and the greatest score of a sample; None where it can be any number.
        value_of: computes the metric over samples by index, which may repeat, where there are no
            scores and samples can be told apart.
    """

    value: float
    scores: FloatArray | None
    metric: str
    higher_is_better: bool
    samples: int | None
    unscored: bool = False
    outputs: Mapping[str, float] = field(default_factory=dict)
    bounds: Bounds | None = None
    value_of: Callable[[IntArray], float] | None = None


class Evaluator(Protocol):
    """Gives a model its score; called with the float model first."""

    def __call__(self, session: Session, advance: Advance) -> Evaluation:
        """Evaluate the model that `session` runs."""
        ...
