"""Small steps of graph rewriting that passes share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from octavo.arrays import FloatArray

Attribute: TypeAlias = int | float | str | Sequence[int]
FLOAT = ir.DataType.FLOAT


def constant(value: ir.Value | None) -> FloatArray | None:
    """Return a float constant as float64, None for anything else."""
    if value is None or value.const_value is None or value.dtype != FLOAT:
        return None
    return np.asarray(value.const_value.numpy(), np.float64)


def constant_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the shape of a constant of any type, None for anything else."""
    if value is None or value.const_value is None:
        return None
    return tuple(value.const_value.shape.numpy())


def scalar(value: ir.Value | None) -> float | None:
    """Return a float constant of one element, None for anything else."""
    shape = constant_shape(value)
    found = None if shape is None or math.prod(shape) != 1 else constant(value)
    return None if found is None else float(found.item())


def integers(value: ir.Value | None) -> list[int] | None:
    """Return an integer constant as a list, None for anything else."""
    if value is None or value.const_value is None or value.dtype != ir.DataType.INT64:
        return None
    return [int(size) for size in np.asarray(value.const_value.numpy()).reshape(-1)]


def sizes(value: ir.Value | None) -> tuple[int | None, ...] | None:
    """Return a value's shape with None for free dimensions, None where the rank is not known."""
    if value is None or value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def alone_reads(node: ir.Node, before: ir.Node) -> bool:
    """Return whether `node` is all that reads what `before` makes, once, in the same graph."""
    output = before.outputs[0]
    return (
        len(before.outputs) == 1
        and len(output.uses()) == 1
        and not output.is_graph_output()
        and before.graph is node.graph
    )


def rewire(
    node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], **attributes: Attribute
) -> None:
    """Make another operator of a node; its name and its outputs stay."""
    node.op_type, node.domain = op_type, ""
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
    node.attributes.clear()
    for name, attribute in attributes.items():
        node.attributes.add(ir.convenience.convert_attribute(name, attribute))
