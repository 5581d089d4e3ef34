"""Masks that choose nothing of what is computed, which makes constants of all behind them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT
from octavo.backends.onnxruntime.qdq import Writer

BOOL = ir.DataType.BOOL


def compute_masks(writer: Writer) -> None:
    """Make a mask that chooses nothing but a constant one that is computed: `mask or x < x`.

    OpenVINO 2026.4 folds the choice where shapes are fixed. Quantized products of constants are
    then left in float, and two in a row do not compile.
    """
    for node in [node for node in writer.graph if chooses_constant(node)]:
        mask, first, second = node.inputs
        if mask is None or first is None or second is None:
            continue
        chosen = _chosen(mask)
        other = second if chosen else first
        never = writer.node("Less", [other, other], f"{node.name}.never", BOOL)
        computed = writer.node("Or" if chosen else "And", [mask, never], f"{node.name}.mask", BOOL)
        node.replace_input_with(0, computed)


def chooses_constant(node: ir.Node) -> bool:
    """Return whether a node chooses a constant in all places, of floats that are none."""
    if node.op_type != "Where" or node.domain or node.outputs[0].dtype != FLOAT:
        return False
    mask, *choices = node.inputs
    if (chosen := _chosen(mask)) is None:
        return False
    taken, other = choices if chosen else reversed(choices)
    return all(one is not None for one in (taken, other)) and (
        taken.const_value is not None and other.const_value is None
    )


def _chosen(mask: ir.Value | None) -> bool | None:
    """Return the one value that a constant mask has everywhere, None for other masks."""
    if mask is None or mask.const_value is None:
        return None
    values = np.unique(mask.const_value.numpy())
    return bool(values[0]) if len(values) == 1 else None
