"""Values that are read twice, by adding next to nothing to them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT, scalar
from octavo.backends.onnxruntime.qdq import Writer

ALMOST_NOTHING = np.array(1e-30, np.float32)
"""Disappears beside any other value, and is not 0, which OpenVINO would optimize away."""


def read_twice(writer: Writer, node: ir.Node) -> None:
    """Give what a node makes two readers: x + x * 1e-30, which is x.

    OpenVINO takes nothing that is behind such a value into the kernel that makes it.
    """
    small = writer.constant("almost.nothing", ALMOST_NOTHING)
    whole = writer.follow(node, "Add", f"{node.name}.kept", [small])
    part = writer.node("Mul", [node.outputs[0], small], f"{node.name}.nothing", FLOAT)
    whole.producer().replace_input_with(1, part)


def is_read_twice(node: ir.Node) -> bool:
    """Return whether `read_twice` was done to a node."""
    return any(_makes_nothing(use.node) for use in node.outputs[0].uses())


def _makes_nothing(node: ir.Node) -> bool:
    return node.op_type == "Mul" and scalar(node.inputs[1]) == float(ALMOST_NOTHING)
