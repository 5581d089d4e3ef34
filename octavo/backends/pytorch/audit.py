"""What the groups of a model really execute, and what it costs, from the operators that ran."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from octavo.arrays import Batch
from octavo.backends.base import Audit, KernelTime
from octavo.backends.pytorch.check import check_outputs
from octavo.backends.pytorch.load import native
from octavo.backends.pytorch.run import Step, trace
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Compute, Format, Plan
from octavo.target import Target

PROFILE_RUNS = 7
INTEGER = ("onednn::qconv", "onednn::qlinear")
BETWEEN = "PyTorch computes it in float between integers, which are converted around it"


def audit(
    model: Model, graph: Graph, plan: Plan, built: Model, batch: Batch, target: Target
) -> list[Audit]:
    """Tell what every group executed; `Backend.audit`.

    Raises:
        ModelError: the kernels compute something else than the model says.
    """
    traced = trace(built, batch, target, runs=1)
    check_outputs(model, built, batch, traced.outputs, target)
    owned = _by_group(graph, built, traced.runs[0])
    return [
        _audit(group.id, plan.format(group.id), owned.get(group.id, [])) for group in graph.groups
    ]


def _owners(graph: Graph, built: Model) -> Mapping[str, str]:
    """Return the group of each node, by name; a float model has the graph's own."""
    names = {op: group.id for group in graph.groups for op in group.ops}
    return native(built).program.owners or names


def _by_group(graph: Graph, built: Model, steps: Sequence[Step]) -> dict[str, list[Step]]:
    owners = _owners(graph, built)
    found: dict[str, list[Step]] = {}
    for step in steps:
        if step.node in owners:
            found.setdefault(owners[step.node], []).append(step)
    return found


def _audit(group: str, requested: Format, steps: Sequence[Step]) -> Audit:
    executed = executed_by(steps)
    kernels = tuple(step.operator for step in steps)
    reason = None
    if not steps and not requested.is_float:
        reason = "no output depends on it: it did not run"
    elif executed != requested.compute:
        reason = BETWEEN if executed == "fp32" else f"the model holds {kernels[0]} for it"
    return Audit(group, requested, executed, kernels, reason)


def executed_by(steps: Sequence[Step]) -> Compute:
    """Return the precision that operators ran in, told by the tensors that they were given."""
    for step in steps:
        if step.operator.startswith(INTEGER):
            # a scale that is a tensor was found while the model ran
            return "int8_dynamic" if step.reads[1] != "int8" else "int8"
    moved = [step for step in steps if "uint8" in step.reads and step.makes == "uint8"]
    return "int8" if moved and len(moved) == len(steps) else "fp32"


def profile(graph: Graph, built: Model, batch: Batch, target: Target) -> list[KernelTime]:
    """Time every operator; `Backend.profile`."""
    runs = trace(built, batch, target, PROFILE_RUNS).runs
    owners = _owners(graph, built)
    return [
        KernelTime(
            kernel=same[0].operator,
            groups=(owners[same[0].node],) if same[0].node in owners else (),
            seconds=statistics.median(step.seconds for step in same),
        )
        for same in zip(*runs, strict=True)
    ]
