"""Averages over all positions as GlobalAveragePool, the one spelling with a fast integer kernel."""

from __future__ import annotations

import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT, integers, rewire, sizes
from octavo.backends.onnxruntime.qdq import Writer


def average_globally(writer: Writer) -> None:
    """Rewrite ReduceMean over all spatial axes, and AveragePool with one window over all."""
    for node in list(writer.graph):
        if node.domain or not node.inputs or node.inputs[0] is None:
            continue
        shape = sizes(node.inputs[0])
        if shape is None or len(shape) < 3 or node.inputs[0].dtype != FLOAT:
            continue
        if node.op_type == "ReduceMean" and _axes(node, len(shape)) == [*range(2, len(shape))]:
            _reduce_mean(writer, node, len(shape))
        elif node.op_type == "AveragePool" and _covers(node, shape):
            rewire(node, "GlobalAveragePool", node.inputs[:1])


def _axes(node: ir.Node, rank: int) -> list[int] | None:
    """Return the axes a reduction runs over, ascending; None where only running tells."""
    given: list[int] | None = list(node.attributes.get_ints("axes", []))
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        given = integers(node.inputs[1])
    if given is None:
        return None
    if not given:
        return [] if node.attributes.get_int("noop_with_empty_axes", 0) else [*range(rank)]
    return sorted(axis % rank for axis in given)


def _reduce_mean(writer: Writer, node: ir.Node, rank: int) -> None:
    keeps = node.attributes.get_int("keepdims", 1)
    rewire(node, "GlobalAveragePool", node.inputs[:1])
    if not keeps:
        axes = writer.integers([*range(2, rank)])
        writer.follow(node, "Squeeze", f"{node.name}.squeezed", others=[axes])


def _covers(node: ir.Node, shape: tuple[int | None, ...]) -> bool:
    """Return whether the one window of an AveragePool holds every position, and no padding."""
    attributes = node.attributes
    spatial = list(shape[2:])
    plain = attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    dilated = any(step > 1 for step in attributes.get_ints("dilations", []))
    padded = any(attributes.get_ints("pads", []))
    window = list(attributes.get_ints("kernel_shape", []))
    return plain and not dilated and not padded and window == spatial
