"""HardSigmoid and HardSwish, however an exporter spelled them.

HardSigmoid(x) = clip(alpha x + beta, 0, 1), HardSwish(x) = x HardSigmoid(x) with alpha = 1/6 and
beta = 1/2 (Howard et al., Searching for MobileNetV3, 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import alone_reads, rewire, scalar
from octavo.backends.onnxruntime.fold import Affine, fold_into
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.onnxruntime.ties import saturation_bounds


@dataclass(frozen=True)
class Gate:
    """clip(slope * x + shift, 0, top): a HardSigmoid of any height."""

    source: ir.Value
    slope: float
    shift: float
    top: float

    @property
    def alpha(self) -> float:
        """The slope of the HardSigmoid."""
        return self.slope / self.top

    @property
    def beta(self) -> float:
        """The shift of the HardSigmoid."""
        return self.shift / self.top

    @property
    def swishes(self) -> bool:
        """Whether x times it is top x HardSwish(x)."""
        return math.isclose(self.alpha, 1 / 6, rel_tol=1e-6) and math.isclose(self.beta, 0.5)


def recognize_hard_activations(writer: Writer) -> None:
    """Write the patterns of HardSigmoid and HardSwish as these operators."""
    for node in list(writer.graph):
        if node.op_type in ("Mul", "Div") and not node.domain:
            _scaled_gate(node)
    for node in list(writer.graph):
        if node.op_type in ("Mul", "Div") and not node.domain:
            _swish(node)
    for node in list(writer.graph):
        if node.op_type == "Clip" and not node.domain:
            _unit_gate(node)


def _scaled_gate(node: ir.Node) -> None:
    """clip(x + 3, 0, 6) / 6 is HardSigmoid."""
    factor, gate = _factor(node), _gate_of(_operand(node))
    if gate is not None and factor is not None and _close(gate.top * factor, 1.0):
        rewire(node, "HardSigmoid", [gate.source], alpha=gate.alpha, beta=gate.beta)


def _unit_gate(node: ir.Node) -> None:
    """clip(x / 6 + 0.5, 0, 1) is HardSigmoid."""
    gate = _gate_of(node.outputs[0])
    if gate is not None and gate.top == 1 and gate.slope != 1:
        rewire(node, "HardSigmoid", [gate.source], alpha=gate.slope, beta=gate.shift)


def _swish(node: ir.Node) -> None:
    """X * clip(x + 3, 0, 6) / 6, in either order, is HardSwish."""
    factor, product = _factor(node), node
    if factor is not None:
        inner = _operand(node)
        maker = inner.producer() if inner is not None else None
        if maker is None or maker.op_type != "Mul" or not alone_reads(node, maker):
            return
        product = maker
    gate = _gated(product)
    if gate is not None and gate.swishes and _close(gate.top * (factor or 1.0), 1.0):
        rewire(node, "HardSwish", [gate.source])


def _gated(product: ir.Node) -> Gate | None:
    """Return the gate where a product is that of a value and a gate of the same value."""
    if product.op_type != "Mul":
        return None
    for index, value in enumerate(product.inputs):
        gate = _gate_of(value)
        if gate is not None and gate.source is product.inputs[1 - index]:
            return gate
    return None


def _close(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=1e-6)


def _factor(node: ir.Node) -> float | None:
    """Return the number that a Mul multiplies by, or the inverse of what a Div divides by."""
    if node.op_type == "Div":
        divisor = scalar(node.inputs[1])
        return 1 / divisor if divisor else None
    return next((found for v in node.inputs if (found := scalar(v)) is not None), None)


def _operand(node: ir.Node) -> ir.Value | None:
    """Return the operand of a node that is not one number."""
    return next((value for value in node.inputs if scalar(value) is None), None)


def _gate_of(value: ir.Value | None) -> Gate | None:
    node = value.producer() if value is not None else None
    if node is None or node.domain or node.inputs[0] is None:
        return None
    if node.op_type == "HardSigmoid":
        alpha, beta = hard_sigmoid_parameters(node)
        return Gate(node.inputs[0], alpha, beta, 1.0)
    if node.op_type != "Clip":
        return None
    low, high = saturation_bounds(node)
    source, shift = _shifted(node.inputs[0])
    source, slope = _sloped(source)
    shifted = low == 0 and 0 < shift < high < math.inf
    return Gate(source, slope, shift, high) if shifted else None


def _shifted(value: ir.Value) -> tuple[ir.Value, float]:
    node = value.producer()
    if node is None or node.op_type != "Add" or node.domain:
        return value, 0.0
    shift, inner = _factor(node), _operand(node)
    return (value, 0.0) if shift is None or inner is None else (inner, shift)


def _sloped(value: ir.Value) -> tuple[ir.Value, float]:
    node = value.producer()
    if node is None or node.op_type not in ("Mul", "Div") or node.domain:
        return value, 1.0
    slope, inner = _factor(node), _operand(node)
    return (value, 1.0) if slope is None or inner is None or slope <= 0 else (inner, slope)


def hard_sigmoid_parameters(node: ir.Node) -> tuple[float, float]:
    """Return alpha and beta of a HardSigmoid; those of a HardSwish for one."""
    if node.op_type == "HardSwish":
        return 1 / 6, 0.5
    return node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)


def fold_hard_sigmoids(writer: Writer) -> None:
    """Leave the saturation alone of a HardSigmoid behind a convolution or Gemm.

    Its slope and shift go into the weights; a quantizer computes the rest for nothing.
    """
    for node in list(writer.graph):
        before = node.inputs[0].producer() if node.inputs and node.inputs[0] else None
        if node.op_type != "HardSigmoid" or before is None or not alone_reads(node, before):
            continue
        if fold_into(writer.graph, before, partial(_affine, *hard_sigmoid_parameters(node))):
            bounds = [writer.number(f"{node.name}.{v}", v) for v in (0, 1)]
            rewire(node, "Clip", [before.outputs[0], *bounds])


def _affine(alpha: float, beta: float, channels: int) -> Affine:
    return Affine(np.full(channels, alpha), np.full(channels, beta))
