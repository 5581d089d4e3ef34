"""HardSigmoid and HardSwish from the integer kernels of Add and Mul.

clip(alpha x + beta, 0, 1) is alpha (x + beta / alpha), and the saturation of its quantizer.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.edits import FLOAT, rewire
from octavo.backends.onnxruntime.forms.integers import quantizer_behind
from octavo.backends.onnxruntime.passes.hard import hard_sigmoid_parameters
from octavo.backends.onnxruntime.qdq import Writer
from octavo.measure import Quantization, quantization_of
from octavo.plan import U8, Range

UNIT = quantization_of(Range(0.0, 1.0), U8)


def hard_bounds(node: ir.Node) -> tuple[float, float]:
    """Return the interval outside of which a HardSigmoid or HardSwish tells nothing new of x."""
    alpha, beta = hard_sigmoid_parameters(node)
    return -beta / alpha, np.inf if node.op_type == "HardSwish" else (1 - beta) / alpha


def write_hard_sigmoid(writer: Writer, node: ir.Node, output: Quantization) -> None:
    """Write HardSigmoid as an Add whose quantizer scales and saturates.

    It stays float where its output shares a range beyond 0 to 1, which would not saturate there.
    """
    lowest, highest = output.range
    if lowest < 0 or highest > 1 + 0.501 * output.scale:
        return
    alpha, beta = hard_sigmoid_parameters(node)
    quantizer = quantizer_behind(node)
    rewire(node, "Add", [node.inputs[0], _number(writer, str(node.name), beta / alpha)])
    wide = Quantization(_wider(output, alpha), output.zero_point, output.scheme)
    scale, zero = writer.parameters(f"{node.name}.wide", wide)
    quantizer.replace_input_with(1, scale)
    quantizer.replace_input_with(2, zero)


def write_hard_swish(writer: Writer, node: ir.Node, output: Quantization) -> None:
    """Write HardSwish as x times the Add and the saturation of its gate."""
    alpha, beta = hard_sigmoid_parameters(node)
    source, name = node.inputs[0], str(node.name)
    shift = _number(writer, name, beta / alpha)
    shifted = writer.node("Add", [source, shift], f"{name}.gate", FLOAT)
    wide = Quantization(_wider(UNIT, alpha), UNIT.zero_point, UNIT.scheme)
    gate = writer.round_trip(shifted, f"{name}.gate", wide)
    for index, value in enumerate(writer.parameters(f"{name}.unit", UNIT)):
        gate.producer().replace_input_with(index + 1, value)
    rewire(node, "Mul", [source, gate])


def _wider(quantization: Quantization, alpha: float) -> Array:
    """Return the scale of alpha (x + beta / alpha) before the factor alpha."""
    return np.asarray(quantization.scale / np.float32(alpha), np.float32)


def _number(writer: Writer, name: str, value: float) -> ir.Value:
    """Return one number, stored as the last integer of its own range."""
    quantization = quantization_of(Range(min(value, 0.0), max(value, 0.0)), U8)
    integer = np.array(255 if value > 0 else 0, np.uint8)
    return writer.stored(f"{name}.shift.u8", integer, quantization)
