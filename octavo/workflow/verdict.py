"""Whether INT8 keeps the accuracy of FP32, and no more than the data can carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from octavo.arrays import FloatArray
from octavo.tolerance import Tolerance
from octavo.workflow.evaluate import Evaluation

Verdict: TypeAlias = Literal["within", "undecided", "exceeded"]
"""`within`: the measured loss is accepted, which is no proof. `undecided`: it would be, and the
sample is so small that chance alone moves the result by more than the tolerance. `exceeded`: the
measured loss is too large."""

_CLEAR = 2.0  # standard errors beyond which even a small sample decides
_EQUAL = 1e-6  # between values of outputs that are called the same
_FEW = 10  # samples below which the spread of their scores tells too little of its own size


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
        slack = tolerance.slack(self.fp32, self.metric)
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
            **(dict(zip(("lost", "gained"), self.changed, strict=True)) if self.changed else {}),
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def judge(
    fp32: Evaluation, int8: Evaluation, tolerance: Tolerance, *, real: bool = True
) -> Accuracy:
    """Compare two evaluations on the same samples.

    Args:
        fp32: of the float model.
        int8: of the quantized model, by the same metric.
        tolerance: the accepted loss.
        real: False for samples that are random numbers, which decide nothing.

    Raises:
        UsageError: the tolerance is a share of an FP32 value that is negative or near zero.
    """
    slack = tolerance.slack(fp32.value, fp32.metric)
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
            _verdict(margin, slack, _standard_error(fp32, int8, tolerance), real=real)
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


def _verdict(margin: float, slack: float, error: float | None, *, real: bool) -> Verdict:
    if not real or (error is not None and error > slack and margin < _CLEAR * error):
        return "undecided"
    return "within"


def _standard_error(fp32: Evaluation, int8: Evaluation, tolerance: Tolerance) -> float | None:
    """Return the paired standard error of mean(q - (1 - tolerance) * f), None without scores.

    Hits and misses have a standard error of 0 where the models never disagree, however few the
    samples. As in Laplace's rule of succession, one more sample is therefore counted in which INT8
    misses and FP32 hits; it takes about one sample per unit of tolerance (100 for 1 %) to outweigh
    it. Scores in other units have no such bound and no such sample, and neither have those that
    differ from sample to sample, such as cosines: how much they vary is seen.
    """
    if fp32.scores is None or int8.scores is None:
        return None
    if len(fp32.scores) < 2:
        return math.inf
    share = tolerance.value if tolerance.relative else 0.0
    if not fp32.higher_is_better:
        share = -share
    differences: FloatArray = int8.scores - (1.0 - share) * fp32.scores
    bounded = _bounded(fp32.scores) and _bounded(int8.scores)
    if fp32.higher_is_better and bounded and not _varied(differences):
        differences = np.append(differences, -1.0)
    return float(np.std(differences, ddof=1) / math.sqrt(len(differences)))


def _varied(differences: FloatArray) -> bool:
    """Return whether so many differences are distinct that they are no counts of hits."""
    return len(differences) >= _FEW and 2 * len(np.unique(differences)) > len(differences)


def _bounded(scores: FloatArray) -> bool:
    return bool(np.all(np.abs(scores) <= 1.0))
