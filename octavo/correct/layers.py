"""The operators whose weights and biases corrections change, as a plan runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.backends.base import Ranges
from octavo.correct.constants import block_shape
from octavo.graph import Graph, Linear, Op
from octavo.measure import dequantize, quantization_of, quantize, quantize_weight
from octavo.plan import Format, Plan, Range, Scheme


@dataclass(frozen=True)
class Layer:
    """An operator that multiplies by a constant weight, and how the plan runs it.

    Attributes:
        op: the operator.
        linear: how it multiplies.
        format: of its group.
        reads: the scheme of what it reads; None where that stays float.
        depth: how many such operators lie on the longest path to it, itself included; operators of
            one depth do not depend on each other.
    """

    op: Op
    linear: Linear
    format: Format
    reads: Scheme | None
    depth: int

    @property
    def input(self) -> str:
        """The tensor that it multiplies."""
        return self.op.inputs[0]

    @property
    def scheme(self) -> Scheme | None:
        """The scheme of its weight, None where that stays float."""
        return None if self.format.is_float else self.format.weight

    def as_read(self, values: Array, ranges: Ranges) -> Array:
        """Return values of its input after the rounding that the plan asks for.

        Values that were rounded already stay as they are.
        """
        if self.reads is None:
            return values
        found = ranges.get(self.input)
        if self.format.compute == "int8_dynamic" or found is None:
            found = Range(float(values.min(initial=0)), float(values.max(initial=0)))
        quantization = quantization_of(found, self.reads)
        return dequantize(quantize(values, quantization), quantization)

    def as_run(self, weight: Array) -> Array:
        """Return its weight after the rounding that the plan asks for."""
        if self.scheme is None:
            return weight
        integers, quantization = quantize_weight(weight, self.scheme)
        return dequantize(integers, quantization)


def find_layers(graph: Graph, plan: Plan) -> tuple[Layer, ...]:
    """Return every operator with a constant weight whose windows are known, in order."""
    groups = {name: group for group in graph.groups for name in group.ops}
    depths = _depths(graph)
    layers = []
    for op in graph.ops:
        if op.linear is None or not (op.kind == "matmul" or op.linear.window):
            continue
        group = groups[op.name]
        chosen = plan.format(group.id)
        reads = dict(zip(group.inputs, chosen.inputs, strict=bool(chosen.inputs)))
        found = Layer(op, op.linear, chosen, reads.get(op.inputs[0]), depths[op.name])
        layers.append(found)
    return tuple(layers)


def _depths(graph: Graph) -> Mapping[str, int]:
    """Return how many linear operators lie on the longest path to each operator, with it."""
    reached: dict[str, int] = {}
    depths: dict[str, int] = {}
    for op in graph.ops:
        depth = max((reached.get(tensor, 0) for tensor in op.inputs), default=0)
        depths[op.name] = depth + (op.linear is not None)
        reached.update(dict.fromkeys(op.outputs, depths[op.name]))
    return depths


def step_sizes(weight: Array, layer: Layer, scheme: Scheme) -> FloatArray:
    """Return the scale of each output channel of a weight, float64 `[groups, outputs]`."""
    _, quantization = quantize_weight(weight, scheme)
    groups, outputs = block_shape(weight.shape, layer.linear)[:2]
    scales = np.broadcast_to(quantization.scale.astype(np.float64), (groups * outputs,))
    return scales.reshape(groups, outputs)
