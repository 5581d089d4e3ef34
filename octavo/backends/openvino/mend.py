"""Mends: where OpenVINO would compute something else than the model says."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT
from octavo.backends.onnxruntime.qdq import Writer

PAD_TAKES_INPUTS = 11  # the first opset in which the amounts of Pad are an input
ALMOST_NOTHING = np.array(1e-30, np.float32)
"""Disappears in an average of any other value, and is not 0, which OpenVINO would put back into the
pool."""


def mended(model: ir.Model) -> ir.Model:
    """Return a model that OpenVINO computes rightly; the same object where it is one already."""
    if not any(map(counts_padding, model.graph)):
        return model
    if model.opset_imports.get("", 0) < PAD_TAKES_INPUTS:
        return model
    changed = model.clone()
    pad_before_averaging(changed.graph)
    return changed


def pad_before_averaging(graph: ir.Graph) -> None:
    """Pad by an operator of its own where an AveragePool counts the padding.

    On integers OpenVINO 2026.4 pads with 0, which is not the zero point, whether the pool was
    quantized or only stands between quantizers; and with `ceil_mode` it divides by the wrong counts
    in float.
    """
    writer = Writer(graph)
    for node in list(graph):
        if not counts_padding(node) or (source := node.inputs[0]) is None:
            continue
        pads = node.attributes.get_ints("pads", [])
        half = len(pads) // 2
        sizes = [0, 0, *pads[:half], 0, 0, *pads[half:]]
        amount = writer.constant(f"{node.name}.pads", np.array(sizes, np.int64))
        value = writer.constant(f"{node.name}.pad", ALMOST_NOTHING)
        padded = writer.node("Pad", [source, amount, value], f"{node.name}.padded", FLOAT)
        node.replace_input_with(0, padded)
        node.attributes.pop("pads")
        node.attributes.pop("count_include_pad")
    graph.sort()


def counts_padding(node: ir.Node) -> bool:
    """Return whether a node is an AveragePool in whose averages padding counts as zeros."""
    attributes = node.attributes
    counted = node.op_type == "AveragePool" and attributes.get_int("count_include_pad", 0)
    return bool(counted) and any(attributes.get_ints("pads", []))
