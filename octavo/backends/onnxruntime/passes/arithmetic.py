"""Sums, differences and bounds in the one spelling that ONNX Runtime's integer kernels have."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import (
    FLOAT,
    alone_reads,
    constant,
    constant_shape,
    rewire,
    scalar,
)
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.onnxruntime.ties import saturation_bounds


def simplify_arithmetic(writer: Writer) -> None:
    """Rewrite Sum, Sub of a constant, Max and Min with a constant, and PRelu of one slope."""
    for node in list(writer.graph):
        if not node.domain and (rewrite := _REWRITES.get(node.op_type)) is not None:
            rewrite(writer, node)


def _sum(writer: Writer, node: ir.Node) -> None:
    """Write a Sum as a chain of Adds, in the order in which ONNX Runtime adds."""
    values = [value for value in node.inputs if value is not None]
    if len(values) < 2 or any(value.dtype != FLOAT for value in values):
        return
    total = values[0]
    for index, value in enumerate(values[1:-1]):
        total = writer.node("Add", [total, value], f"{node.name}.{index}", FLOAT)
    rewire(node, "Add", [total, values[-1]])


def _sub(writer: Writer, node: ir.Node) -> None:
    """Write x - constant as x + (-constant)."""
    value = constant(node.inputs[1])
    if value is None or constant_shape(node.inputs[0]) is not None:
        return
    negative = writer.constant(f"{node.name}.negative", (-value).astype(np.float32))
    rewire(node, "Add", [node.inputs[0], negative])


def _bound(writer: Writer, node: ir.Node) -> None:
    """Write the Max or Min of a tensor and one number as a Clip."""
    if len(node.inputs) != 2:
        return
    for index, value in enumerate(node.inputs):
        other, bound = node.inputs[1 - index], scalar(value)
        if bound is None or other is None or constant_shape(other) is not None:
            continue
        if not _widens(value, other):
            bounds = (bound, np.inf) if node.op_type == "Max" else (-np.inf, bound)
            _saturate(writer, node, other, *bounds)
        return


def _widens(value: ir.Value | None, other: ir.Value) -> bool:
    """Return whether a constant of one element may have more axes than what it is compared with."""
    axes = len(constant_shape(value) or ())
    return axes > (0 if other.shape is None else other.shape.rank())


def _prelu(writer: Writer, node: ir.Node) -> None:
    """Write a PRelu with one slope for all channels as LeakyRelu."""
    slope = scalar(node.inputs[1])
    if slope is None or node.inputs[0] is None or _widens(node.inputs[1], node.inputs[0]):
        return
    rewire(node, "LeakyRelu", node.inputs[:1], alpha=slope)


_REWRITES = {"Sum": _sum, "Sub": _sub, "Max": _bound, "Min": _bound, "PRelu": _prelu}


def merge_saturations(writer: Writer) -> None:
    """Make one Clip of two bounds in a row, such as a Relu and the Min of a Relu6."""
    for node in list(writer.graph):
        before = node.inputs[0].producer() if _saturates(node) and node.inputs[0] else None
        if before is None or not _saturates(before) or not alone_reads(node, before):
            continue
        (low, high), (lowest, highest) = saturation_bounds(node), saturation_bounds(before)
        bounds = [min(max(bound, low), high) for bound in (lowest, highest)]
        _saturate(writer, node, before.inputs[0], *bounds)
        writer.graph.remove(before, safe=True)


def _saturate(
    writer: Writer, node: ir.Node, source: ir.Value | None, low: float, high: float
) -> None:
    if (low, high) == (0.0, np.inf):
        rewire(node, "Relu", [source])
        return
    limits = [
        None if np.isinf(bound) else writer.number(f"{node.name}.{label}", bound)
        for label, bound in (("low", low), ("high", high))
    ]
    rewire(node, "Clip", [source, *limits])


def _saturates(node: ir.Node) -> bool:
    source = node.inputs[0]
    if node.domain or node.op_type not in ("Relu", "Clip") or source is None:
        return False
    if source.dtype != FLOAT:  # bounds are written in float32
        return False
    return all(value is None or value.const_value is not None for value in node.inputs[1:])
