"""Movers that have kernels for integers, between which ONNX Runtime leaves them in float."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import scalar
from octavo.backends.onnxruntime.forms.integers import integers_read, make_integers
from octavo.backends.onnxruntime.qdq import Writer, storage
from octavo.measure import Quantization, quantize


def write_moved(writer: Writer, node: ir.Node, output: Quantization) -> None:
    """Let SpaceToDepth or Pad move integers; a Pad fills in the integer of its value."""
    if node.op_type == "Pad" and node.attributes.get_string("mode", "constant") == "constant":
        value = scalar(node.inputs[2]) if len(node.inputs) > 2 else None
        filled = quantize(np.array(value or 0.0, np.float32), output)
        label = f"{node.name}.filled"
        node.resize_inputs(max(3, len(node.inputs)))
        node.replace_input_with(2, writer.constant(label, filled.astype(storage(output.scheme))))
    make_integers(node, integers_read(node))
