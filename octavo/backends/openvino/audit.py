"""What the groups of a model really execute, and what it costs, from OpenVINO's runtime graph."""

from __future__ import annotations

from collections.abc import Sequence

from octavo.arrays import Batch
from octavo.backends.base import Audit, KernelTime
from octavo.backends.onnxruntime.carried import PART, REASONS
from octavo.backends.openvino.check import check_outputs
from octavo.backends.openvino.executed import Executed
from octavo.backends.openvino.kernels import profile_session
from octavo.graph import Graph, Group
from octavo.model import Model
from octavo.plan import Compute, Format, Plan
from octavo.target import Target

PROFILE_RUNS = 20


def audit(
    model: Model, graph: Graph, plan: Plan, built: Model, batch: Batch, target: Target
) -> list[Audit]:
    """Tell what every group executed; `Backend.audit`.

    Raises:
        ModelError: what was executed does not compute what the built model says.
    """
    ran = profile_session(built, batch, target, runs=1)
    check_outputs(None if model is built else model, built, batch, ran.outputs, target)
    executed = Executed(graph, built, ran.kernels)
    return [_audit(group, plan.format(group.id), executed) for group in graph.groups]


def profile(graph: Graph, built: Model, batch: Batch, target: Target) -> list[KernelTime]:
    """Time every kernel that does something; `Backend.profile`."""
    ran = profile_session(built, batch, target, PROFILE_RUNS)
    executed = Executed(graph, built, ran.kernels)
    return [
        KernelTime(kernel.kind, executed.groups_of(kernel), kernel.seconds)
        for kernel in executed.kernels.values()
        if kernel.seconds
    ]


def _audit(group: Group, requested: Format, executed: Executed) -> Audit:
    kinds = tuple(kernel.kind for kernel in executed.of(group))
    if group.refusal == PART:
        return Audit(group.id, requested, "fp32", kinds, PART)
    compute = executed.compute(group)
    reason = None if compute == requested.compute else _reason(requested, compute, kinds)
    return Audit(
        group=group.id,
        requested=requested,
        executed=compute,
        kernels=kinds,
        reason=group.refusal if group.refusal in REASONS else reason,
    )


def _reason(requested: Format, executed: Compute, kinds: Sequence[str]) -> str:
    names = ", ".join(dict.fromkeys(kinds)) or "nothing of its own"
    if executed == "bf16":
        return f"OpenVINO ran {names} in BF16, which it takes by default on this processor"
    if requested.is_float:
        return f"OpenVINO moved a quantizer across it and ran {names} on integers"
    return f"OpenVINO ran {names} in {executed} where {requested.compute} was asked for"
