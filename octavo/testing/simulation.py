"""What a plan has to compute: rounding to integers around the layers of the plain evaluator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from octavo.arrays import Array, Batch
from octavo.backends.base import Ranges
from octavo.backends.reference.network import Layer, Network
from octavo.graph import Graph, Group
from octavo.measure.energy import Energy
from octavo.measure.quantization import dequantize, quantization_of, quantize
from octavo.measure.weights import quantize_weight
from octavo.plan import U8, Format, Plan, Range, Scheme
from octavo.testing.evaluator import apply


@dataclass(frozen=True)
class Simulation:
    """A network with a plan, to be computed by quantize-dequantize on the evaluator.

    Attributes:
        network: the network.
        graph: how the backend describes it.
        plan: formats by group of that graph.
        ranges: of activation tensors, by the backend's names.
        rename: the backend's name of a tensor of the network.
    """

    network: Network
    graph: Graph
    plan: Plan
    ranges: Ranges
    rename: Callable[[str], str]

    def run(self, batch: Batch) -> dict[str, Array]:
        """Return every tensor by the backend's name.

        Args:
            batch: inputs by the network's names.
        """
        values: dict[str, Array] = dict(batch)
        for layer in self.network.layers:
            values[layer.output] = self._layer(layer, [values[name] for name in layer.inputs])
        return {self.rename(name): array for name, array in values.items()}

    def _layer(self, layer: Layer, inputs: list[Array]) -> Array:
        group = self._group(self.rename(layer.output))
        constants = self.network.constants(layer)
        if group is None or self.plan.format(group.id).is_float:
            return apply(layer, inputs, constants)
        chosen = self.plan.format(group.id)
        names = [self.rename(name) for name in layer.inputs]
        entering = dict(zip(group.inputs, chosen.inputs, strict=True))
        inputs = [
            self._rounded(name, array, entering.get(name), chosen)
            for name, array in zip(names, inputs, strict=True)
        ]
        if chosen.weight is not None and constants:
            constants = [rounded_weight(layer, constants[0], chosen.weight), *constants[1:]]
        leaving = dict(zip(group.outputs, chosen.outputs, strict=True))
        name = self.rename(layer.output)
        return self._rounded(name, apply(layer, inputs, constants), leaving.get(name), chosen)

    def _group(self, tensor: str) -> Group | None:
        """Return the group that makes a tensor, inside it or at its end."""
        makers = {op.name for op in self.graph.ops if tensor in op.outputs}
        found = (group for group in self.graph.groups if makers & set(group.ops))
        return next(found, None)

    def _rounded(self, name: str, values: Array, scheme: Scheme | None, chosen: Format) -> Array:
        if chosen.compute == "int8_dynamic" and scheme is not None:
            return rounded(values, Range(float(values.min()), float(values.max())), U8)
        return values if scheme is None else rounded(values, self.ranges[name], scheme)


def rounded(values: Array, range: Range, scheme: Scheme) -> Array:
    """Return values after a round trip through the integers of a range."""
    quantization = quantization_of(range, scheme)
    return dequantize(quantize(values, quantization), quantization)


def rounded_weight(layer: Layer, weight: Array, scheme: Scheme) -> Array:
    """Return a weight after a round trip; a scale per channel is one per output channel here."""
    axis = None if scheme.axis is None else int(layer.op == "matmul")
    integers, quantization = quantize_weight(weight, replace(scheme, axis=axis))
    return dequantize(integers, quantization)


def sqnr(values: Array, expected: Array) -> float:
    """Return the ratio of signal to quantization noise in dB; 300 where they are equal.

    Args:
        values: what was computed.
        expected: what it should be, of the same shape.
    """
    return min(300.0, Energy.of(expected, values).sqnr_db)
