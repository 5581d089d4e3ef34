"""Every group of a model: the precision it runs in, its share of the work, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from octavo.artifact import Artifact
from octavo.backends.registry import title_of
from octavo.data import random_dataset
from octavo.job import QuantizeJob
from octavo.search.candidates import candidates, float_reasons
from octavo.workflow.batches import fixed_batch
from octavo.workflow.opened import Opened, open_any
from octavo.workflow.reaudit import audit_again
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import describe
from octavo.workflow.trial import group_rows


@dataclass(frozen=True)
class Explanation:
    """Rows about groups.

    Attributes:
        source: the model.
        basis: `audit`: read back from the runtime, when the artifact was made or, in another
            runtime, just now; `plan`: what `quantize` would ask for.
        groups: one row per group, in the model's order.
    """

    source: str
    basis: Literal["audit", "plan"]
    groups: Sequence[Mapping[str, Any]]

    @property
    def int8(self) -> int:
        """How many groups execute, or would be asked to execute, in INT8."""
        key = "executed" if self.basis == "audit" else "requested"
        return sum(str(row[key]).startswith("int8") for row in self.groups)

    def to_json(self) -> dict[str, Any]:
        """Return what `octavo explain --json` prints."""
        return {
            "source": self.source,
            "basis": self.basis,
            "groups": {"total": len(self.groups), "int8": self.int8},
            "rows": [dict(row) for row in self.groups],
        }


def run_explain(
    source: object, runtime: str | None, trust: bool, reporter: Reporter
) -> Explanation:
    """Explain an artifact or an FP32 model; see `octavo.explain`."""
    opened = open_any(source, trust=trust, runtime=runtime)
    if opened.artifact is not None:
        return Explanation(opened.label, "audit", _executed(opened, opened.artifact, reporter))
    return Explanation(opened.label, "plan", _planned(opened, reporter))


def _executed(
    opened: Opened, artifact: Artifact, reporter: Reporter
) -> Sequence[Mapping[str, Any]]:
    manifest = artifact.manifest
    if not opened.moved:
        return manifest.groups
    made_for, runtime = title_of(manifest.backend), title_of(opened.backend.name)
    reporter.say(f"made for {made_for}: running it in {runtime} on random data")
    return audit_again(opened, manifest)


def _planned(opened: Opened, reporter: Reporter) -> list[dict[str, Any]]:
    inputs = opened.model.inputs
    size = fixed_batch(inputs) or 1
    sample = next(random_dataset(inputs, size).batches(size)).inputs
    setting = describe(opened.backend, opened.model, 1, sample)
    if setting.graph.quantized:
        reporter.warn(setting.graph.quantized)
    job = QuantizeJob()
    first = next(iter(candidates(setting.graph, job)), None)
    reasons = first.reasons if first else float_reasons(setting.graph, job)
    rows = group_rows(setting.graph, (), reasons)
    if first is None:
        return rows
    return [
        row | {"requested": first.plan.format(str(row["id"])).compute, "executed": None}
        for row in rows
    ]
