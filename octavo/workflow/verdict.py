"""Whether INT8 keeps the accuracy of FP32, and no more than the data can carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from octavo.search.prove import Margin
from octavo.search.prove.verdict import Verdict, measured, standard_error
from octavo.tolerance import Tolerance
from octavo.workflow.evaluation import Evaluation

_EQUAL = 1e-6  # between values of outputs that are called the same


@dataclass(frozen=True)
class Accuracy:
    """Both models judged on the same samples.

    Attributes:
        fp32: the metric's value of the float model.
        int8: the metric's value of the quantized model.
        metric: its name.
        higher_is_better: its direction.
        samples: how many samples were judged; None where a function of the user's gave the score.
        verdict: what the data say.
        reached: whether the value that was measured is within the tolerance; of random samples
            that cannot be compared (`Evaluation.unscored`), true: they decide nothing.
        outputs: the value of each output of INT8 by name, where the metric is a mean over outputs.
        proof: how the verdict was shown or would have been: `alpha`, `basis`, `samples` that no
            search saw, and `at` how many of these it was there; empty where nothing was to prove.
        changed: how many samples INT8 has wrong and FP32 right, and the other way; None where
            samples are not just right or wrong.
    """

    fp32: float
    int8: float
    metric: str
    higher_is_better: bool
    samples: int | None
    verdict: Verdict
    reached: bool
    outputs: Mapping[str, float] = field(default_factory=dict)
    proof: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[int, int] | None = None

    @property
    def weakest(self) -> tuple[str, float] | None:
        """The output that agrees least and its value; None where they agree by the same amount."""
        if not self.outputs or max(self.outputs.values()) - min(self.outputs.values()) < _EQUAL:
            return None
        return min(self.outputs.items(), key=lambda item: item[1])

    @property
    def change_relative(self) -> float | None:
        """The change from FP32 as a share of its value, None where that is 0."""
        return (self.int8 - self.fp32) / abs(self.fp32) if self.fp32 else None

    def loss_over(self, tolerance: Tolerance) -> float:
        """Return the loss as a multiple of the accepted one; infinite where there is no score."""
        loss = self.fp32 - self.int8 if self.higher_is_better else self.int8 - self.fp32
        if math.isnan(loss):
            return math.inf
        slack = tolerance.of(self.fp32)
        return loss / slack if slack else math.inf if loss > 0 else 0.0

    def to_json(self) -> dict[str, object]:
        """Return a JSON-ready form; a value that is not finite becomes None."""
        return {
            "fp32": _finite(self.fp32),
            "int8": _finite(self.int8),
            "change_relative": _finite(self.change_relative),
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "samples": self.samples,
            "verdict": self.verdict,
            **({"outputs": dict(self.outputs)} if len(self.outputs) > 1 else {}),
            **({"proof": dict(self.proof)} if self.proof else {}),
            **(dict(zip(("lost", "gained"), self.changed, strict=True)) if self.changed else {}),
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def judge(
    fp32: Evaluation,
    int8: Evaluation,
    tolerance: Tolerance,
    *,
    real: bool = True,
    slack: float | None = None,
) -> Accuracy:
    """Compare two evaluations on the same samples.

    Args:
        fp32: of the float model.
        int8: of the quantized model, by the same metric.
        tolerance: the accepted loss.
        real: False for samples that are random numbers, which decide nothing.
        slack: the accepted loss in the metric's units, where `fp32` is of some samples only.

    Raises:
        UsageError: the tolerance is a share of an FP32 value that is negative or near zero.
    """
    slack = tolerance.slack(fp32.value, fp32.metric) if slack is None else slack
    sign = 1.0 if fp32.higher_is_better else -1.0
    margin = sign * (int8.value - fp32.value) + slack
    reached = bool(margin >= -1e-12 * max(1.0, abs(fp32.value)))  # false for NaN
    reached = reached or (int8.unscored and not real)
    return Accuracy(
        fp32=fp32.value,
        int8=int8.value,
        metric=fp32.metric,
        higher_is_better=fp32.higher_is_better,
        samples=fp32.samples,
        verdict=(
            _verdict(margin, slack, _error(fp32, int8, tolerance), real=real)
            if reached
            else "exceeded"
        ),
        reached=reached,
        outputs=int8.outputs,
        changed=_changed(fp32, int8),
    )


def _changed(fp32: Evaluation, int8: Evaluation) -> tuple[int, int] | None:
    """Return how many samples became wrong and right, None where scores are not just 0 or 1."""
    if fp32.scores is None or int8.scores is None or not fp32.higher_is_better:
        return None
    if not np.isin((fp32.scores, int8.scores), (0.0, 1.0)).all():
        return None
    difference = int8.scores - fp32.scores
    return int((difference < 0).sum()), int((difference > 0).sum())


def _verdict(margin: float, slack: float, error: float, *, real: bool) -> Verdict:
    found = measured(max(margin, 0.0), slack, error)
    return found if real else "undecided"


def _error(fp32: Evaluation, int8: Evaluation, tolerance: Tolerance) -> float:
    """Return the paired standard error of the margin, 0 where samples have no scores."""
    if fp32.scores is None or int8.scores is None:
        return 0.0
    margin = Margin(tolerance, fp32.higher_is_better, fp32.bounds)
    low = None if fp32.bounds is None else margin.range()[0]
    return standard_error(margin.of(fp32.scores, int8.scores), low)
