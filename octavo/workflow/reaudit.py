"""What an artifact executes in another runtime than the one it was made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from octavo.artifact import Manifest
from octavo.backends.base import Audit
from octavo.backends.registry import title_of
from octavo.data import CheckedDataset
from octavo.model import TensorSpec
from octavo.target import Target
from octavo.workflow.batches import fixed_batch, sized
from octavo.workflow.drawn import draw
from octavo.workflow.opened import Opened


def audit_again(opened: Opened, manifest: Manifest) -> list[dict[str, Any]]:
    """Run an artifact's model on random numbers and return the rows of its groups.

    The float model is not at hand, so the built one is described in its place: names hold. A group
    that it has no operator of was computed by the quantizer beside it, in any runtime, and keeps
    its row.

    Args:
        opened: the artifact's model, in the runtime that is asked about.
        manifest: what the artifact says about itself.
    """
    inputs = opened.model.inputs
    size = fixed_batch(inputs) or 1
    sample = sized(next(drawn_again(inputs, size, manifest).batches(size)).inputs, size)
    target = Target(shapes={name: array.shape for name, array in sample.items()})
    audits = opened.backend.audit(opened.model, manifest.plan, opened.model, sample, target)
    return rows_again(manifest.groups, audits, opened.backend.name, manifest.backend)


def drawn_again(inputs: Sequence[TensorSpec], samples: int, manifest: Manifest) -> CheckedDataset:
    """Return random samples of the sizes that the artifact was made with."""
    recorded = manifest.job.get("shapes") or {}
    return draw(inputs, samples, 0, {name: tuple(shape) for name, shape in recorded.items()})


def rows_again(
    rows: Sequence[Mapping[str, Any]], audits: Sequence[Audit], runtime: str, made_for: str
) -> list[dict[str, Any]]:
    """Return an artifact's rows with what was found now in a runtime.

    Args:
        rows: what its manifest holds.
        audits: what was found.
        runtime: where it was found.
        made_for: the runtime that the reasons in `rows` are about.
    """
    found = {audit.group: audit for audit in audits}
    return [
        _row(row, found.get(str(row["id"])), title_of(runtime), title_of(made_for)) for row in rows
    ]


def _row(
    row: Mapping[str, Any], audit: Audit | None, runtime: str, made_for: str
) -> dict[str, Any]:
    if audit is None:
        return dict(row)
    kernels = list(audit.kernels)
    asked = row["executed"] == row["requested"] and row["reason"]
    reason = f"planned for {made_for}: {row['reason']}" if asked else None
    if audit.executed != row["requested"]:
        named = ", ".join(dict.fromkeys(kernels)) or "nothing of its own"
        wanted = row["requested"]
        reason = f"{runtime} ran {named} in {audit.executed} where {wanted} was asked for"
    return {**row, "executed": audit.executed, "kernels": kernels, "reason": reason}
