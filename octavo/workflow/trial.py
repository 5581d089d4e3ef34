"""One plan tried for real: built, audited, judged on the data and measured on the target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from octavo.backends.base import Audit, Ranges
from octavo.correct import Corrected
from octavo.graph import Graph
from octavo.job import Objective
from octavo.model import Model
from octavo.plan import FP32
from octavo.search.candidates import Candidate
from octavo.tolerance import Tolerance
from octavo.workflow.exam import Exam
from octavo.workflow.measure import Throughput
from octavo.workflow.setting import Setting
from octavo.workflow.verdict import Accuracy


@dataclass(frozen=True)
class Trial:
    """What one plan gave.

    Attributes:
        candidate: the plan.
        ranges: the activation ranges that were built in.
        model: the INT8 model.
        audits: what every group really executed.
        accuracy: both models judged.
        throughput: both models measured; None where accuracy already decided.
        corrected: the float model that it was built from; None where that is the user's.
        objective: what is wanted of it within the tolerance.
        disk: bytes of the saved model over those of FP32; None where it was not saved.
        exam: how its evaluation went and goes on; None where all samples were judged at once.
    """

    candidate: Candidate
    ranges: Ranges
    model: Model
    audits: Sequence[Audit]
    accuracy: Accuracy
    throughput: Throughput | None = None
    corrected: Corrected | None = None
    exam: Exam | None = None
    objective: Objective = "speed"
    disk: float | None = None

    @property
    def faster(self) -> bool:
        """Whether it was measured, and is faster than each baseline."""
        return self.throughput is not None and self.throughput.faster

    @property
    def gain(self) -> float:
        """FP32 over INT8 by the objective: the least ratio of speed, bytes or memory; else 0."""
        if self.throughput is None:
            return 0.0
        if self.objective == "size":
            return 1 / self.disk if self.disk else 0.0
        if self.objective == "memory":
            return self.throughput.memory_gain
        return min(self.throughput.ratios)

    @property
    def pays(self) -> bool:
        """Whether it was measured, and is better than each baseline by the objective."""
        return self.faster if self.objective == "speed" else self.gain > 1

    @property
    def good(self) -> bool:
        """Whether it is within the tolerance and better by the objective."""
        return self.accuracy.reached and self.pays

    @property
    def whole(self) -> bool:
        """Whether all samples were judged."""
        return self.exam is None or len(self.exam.scoring.seen) == self.exam.scoring.size

    def record(self, tolerance: Tolerance) -> dict[str, Any]:
        """Return what a study keeps of it: enough to go on without judging it again."""
        pairs = self.throughput.pairs if self.throughput else {}
        speed = self.throughput.pairs["default"].candidate.throughput if self.throughput else None
        return {
            "judged": asdict(self.accuracy),
            "scores": self.exam.scoring.to_json() if self.exam else None,
            "throughput": {name: pair.to_json() for name, pair in pairs.items()},
            "disk": self.disk,
            "loss": self.accuracy.loss_over(tolerance),
            "seconds": 1 / speed if speed else None,
            "within": self.accuracy.reached,
        }

    @property
    def executed(self) -> int:
        """How many groups executed in INT8."""
        return sum(audit.executed.startswith("int8") for audit in self.audits)

    def measured(self, throughput: Throughput, disk: float | None = None) -> Trial:
        """Return it with its speed, and its bytes over those of FP32."""
        return replace(self, throughput=throughput, disk=disk)

    @property
    def merit(self) -> float:
        """What it is compared by: its gain within the tolerance, accuracy beyond; more is better.

        Only trials that all reached the tolerance, or all missed it, are to be compared.
        """
        if self.accuracy.reached:
            return self.gain
        value = self.accuracy.int8 if self.accuracy.higher_is_better else -self.accuracy.int8
        return -math.inf if math.isnan(value) else value

    def to_json(self) -> dict[str, Any]:
        """Return the row of the manifest and of `quantize --json`."""
        return {
            "plan": self.candidate.name,
            "corrections": dict(self.corrected.record) if self.corrected else {},
            "groups_int8": self.executed,
            "accuracy": self.accuracy.to_json(),
            "throughput": self.throughput.to_json() if self.throughput else None,
            "disk": self.disk,
        }


def audit(setting: Setting, candidate: Candidate, source: Model, built: Model) -> tuple[Audit, ...]:
    """Return what every group of `built`, which was made from `source`, executes on the target."""
    found = setting.backend.audit(source, candidate.plan, built, setting.sample, setting.target)
    return tuple(found)


def group_rows(
    graph: Graph, audits: Sequence[Audit], reasons: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return one row per group: what was asked, what executed, its share of the work, and why.

    Args:
        graph: the float model.
        audits: what executed; empty for a model that stayed float.
        reasons: why groups stayed float, by group id.
    """
    by_group = {one.group: one for one in audits}
    total = graph.macs or 1
    rows = []
    for group in graph.groups:
        done = by_group.get(group.id, Audit(group.id, FP32, "fp32"))
        rows.append(
            {
                "id": group.id,
                "kind": group.kind,
                "requested": done.requested.compute,
                "executed": done.executed,
                "kernels": list(done.kernels),
                "macs": group.macs,
                "share": group.macs / total,
                "reason": done.reason or reasons.get(group.id),
            }
        )
    return rows
