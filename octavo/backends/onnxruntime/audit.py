"""What the groups of a model really execute, and what it costs, from ONNX Runtime's profiler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octavo.arrays import Batch
from octavo.backends.base import Audit, KernelTime
from octavo.backends.onnxruntime.carried import PART, REASONS
from octavo.backends.onnxruntime.load import native
from octavo.backends.onnxruntime.run import Kernel, profile_session
from octavo.graph import Graph, Group
from octavo.model import Model
from octavo.plan import Compute, Format, Plan
from octavo.target import Target

INTEGER_KERNELS = frozenset(
    {"MatMulIntegerToFloat", "MatMulInteger", "DynamicQuantizeMatMul", "ConvInteger", "QGemm",
     "QAttention", "DynamicQuantizeLSTM"}
)  # fmt: skip
STATIC_KERNELS = frozenset({"QGemm", "QLinearMatMul", "QLinearConv"})
BORDERS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Transpose", "ReorderInput",
     "ReorderOutput"}
)  # fmt: skip
PROFILE_RUNS = 12
BLOCKED = "_nchwc"
"""What ONNX Runtime appends to the name of a value to name the operator that makes it in blocks."""


def audit(graph: Graph, plan: Plan, built: Model, batch: Batch, target: Target) -> list[Audit]:
    """Tell what every group executed; `Backend.audit`."""
    kernels = by_group(graph, profile_session(built, batch, target, runs=1))
    quantized = _quantized_values(built)
    return [
        _audit(group, plan.format(group.id), kernels.get(group.id, []), quantized)
        for group in graph.groups
    ]


def _quantized_values(built: Model) -> frozenset[str]:
    """Return the names of the values that quantizers of the built model read."""
    return frozenset(
        str(value.name)
        for node in native(built).canonical.graph
        if node.op_type == "QuantizeLinear"
        for value in node.inputs[:1]
        if value is not None
    )


def profile(graph: Graph, built: Model, batch: Batch, target: Target) -> list[KernelTime]:
    """Time every kernel; `Backend.profile`."""
    kernels = profile_session(built, batch, target, runs=PROFILE_RUNS)
    owner = {
        (kernel.node, kernel.kind): group
        for group, found in by_group(graph, kernels).items()
        for kernel in found
    }
    return [
        KernelTime(
            kernel=kernel.kind,
            groups=(owner[key],) if (key := (kernel.node, kernel.kind)) in owner else (),
            seconds=kernel.seconds,
        )
        for kernel in kernels
    ]


def by_group(graph: Graph, kernels: Sequence[Kernel]) -> dict[str, list[Kernel]]:
    """Assign kernels to groups by the names of nodes, then by what they make."""
    owners = {op: group.id for group in graph.groups for op in group.ops}
    makers = {
        name + suffix: group.id
        for group in graph.groups
        for op in group.ops
        for name in graph.op_by_name[op].outputs
        for suffix in ("", ".float", ".quantized")
    }
    found: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        group = _owner(kernel, owners, makers)
        if group is not None:
            found.setdefault(group, []).append(kernel)
    return found


def _owner(kernel: Kernel, owners: Mapping[str, str], makers: Mapping[str, str]) -> str | None:
    if kernel.node in owners:
        return owners[kernel.node]
    stem = kernel.node.rpartition(".")[0]
    if stem in owners and kernel.kind not in BORDERS:
        return owners[stem]
    if kernel.kind in BORDERS:
        return None
    made = (*kernel.values, kernel.node.removesuffix(BLOCKED))
    return next((makers[name] for name in made if name in makers), None)


def _audit(
    group: Group, requested: Format, kernels: Sequence[Kernel], quantized: frozenset[str]
) -> Audit:
    if group.refusal == PART:
        return Audit(group.id, requested, "fp32", tuple(kernel.kind for kernel in kernels), PART)
    executed = _executed(group, requested, kernels, quantized)
    reason = None if executed == requested.compute else _reason(requested, executed, kernels)
    return Audit(
        group=group.id,
        requested=requested,
        executed=executed,
        kernels=tuple(kernel.kind for kernel in kernels),
        reason=group.refusal if group.refusal in REASONS else reason,
    )


def _reason(requested: Format, executed: Compute, kernels: Sequence[Kernel]) -> str:
    names = ", ".join(kernel.kind for kernel in kernels) or "nothing of its own"
    if requested.is_float:
        return f"ONNX Runtime moved a quantizer across it and ran {names} on integers"
    return f"ONNX Runtime ran {names} in {executed} where {requested.compute} was asked for"


def _executed(
    group: Group, requested: Format, kernels: Sequence[Kernel], quantized: frozenset[str]
) -> Compute:
    deciding = [kernel for kernel in kernels if _head(kernel) == group.id] or kernels
    if any(_is_integer(kernel) for kernel in deciding):
        return _integer_compute(requested, deciding)
    if not kernels and _is_left_out(group, quantized):
        return "int8"
    return "fp32"


def _head(kernel: Kernel) -> str:
    """Return the operator a kernel is named after; the parts of a dynamic product add to it."""
    return kernel.node.removesuffix(".integer")


def _integer_compute(requested: Format, kernels: Sequence[Kernel]) -> Compute:
    kinds = {kernel.kind for kernel in kernels}
    if "DynamicQuantizeMatMul" in kinds:
        return "int8_dynamic"
    either = requested.compute in ("int8_dynamic", "int8_weight") and not kinds & STATIC_KERNELS
    return requested.compute if either else "int8"


def _is_left_out(group: Group, quantized: frozenset[str]) -> bool:
    """Return whether a group without kernels was computed by the quantizer beside it.

    The saturation of a quantizer does what Relu and Clip do, and a Transpose between integers goes
    where the layout changes anyway.
    """
    suffixes = ("", ".float", ".copy", ".float.copy")
    names = {name + suffix for name in group.outputs for suffix in suffixes}
    names |= set(group.inputs)  # the operator itself was left out of the graph
    return bool(names & quantized) and group.kind in ("activation", "move")


def _is_integer(kernel: Kernel) -> bool:
    if kernel.kind.startswith("QLinear") or kernel.kind in INTEGER_KERNELS:
        return True
    return bool(kernel.outputs) and set(kernel.outputs) <= {"uint8", "int8"}
