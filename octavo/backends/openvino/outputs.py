"""Outputs of a model that are the same integers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.openvino.twins import find_twins


def keep_outputs_apart(writer: Writer) -> None:
    """Quantize an output that is computed twice by a scale of its own, the next float number.

    OpenVINO 2026.4 computes both at once. Where the same quantized values are outputs of the model
    twice, products that read them multiply floats.
    """
    for node in list(writer.graph):
        while repeats_output(node) and (quantizer := _quantizer(node)) is not None:
            scale = node.inputs[1].const_value.numpy()
            own = writer.constant(f"{node.name}.own", np.nextafter(scale, np.float32(np.inf)))
            for changed in (quantizer, node):
                changed.replace_input_with(1, own)


def repeats_output(node: ir.Node) -> bool:
    """Return whether a node dequantizes an output that another node makes of the same values."""
    if node.graph is None or not _is_output(node) or _quantizer(node) is None:
        return False
    others = [str(one.name) for one in node.graph if one is not node and _is_output(one)]
    twins = find_twins(node.graph) if others else {}
    first = twins.get(str(node.name), node.name)
    return first != node.name and any(twins[other] == first for other in others)


def _is_output(node: ir.Node) -> bool:
    """Return whether a node dequantizes an output of the model, which may be passed on to there."""
    if node.op_type != "DequantizeLinear":
        return False
    passed = (r.outputs[0] for r in node.outputs[0].consumers() if r.op_type == "Identity")
    return any(value.is_graph_output() for value in (node.outputs[0], *passed))


def _quantizer(node: ir.Node) -> ir.Node | None:
    """Return what quantizes for a node alone, by the same constant of float32; None for others."""
    made = node.inputs[0].producer() if node.inputs[0] is not None else None
    if made is None or made.op_type != "QuantizeLinear" or len(made.outputs[0].uses()) > 1:
        return None
    scale = node.inputs[1]
    known = scale is made.inputs[1] and scale is not None and scale.dtype == FLOAT
    return made if known and scale.const_value is not None else None
