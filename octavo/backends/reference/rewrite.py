"""Rewriting a float network into integers by a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from octavo.arrays import Array
from octavo.backends.base import Ranges
from octavo.backends.reference.execute import Program
from octavo.backends.reference.network import Layer, Network
from octavo.errors import ModelError, nearest
from octavo.graph import Graph, Group
from octavo.measure.quantization import Quantization, quantization_of
from octavo.measure.weights import quantize_weight
from octavo.plan import Format, Plan, Range, Scheme

INT32_LIMIT = 2**31 - 1


def checked_formats(graph: Graph, plan: Plan) -> dict[str, Format]:
    """Return the format of every group.

    Raises:
        ModelError: the plan names an unknown group, or a format that a group does not have.
    """
    for name, wanted in plan.formats.items():
        group = graph.group_by_id.get(name)
        if group is None:
            raise ModelError(f"the model has no group {name!r}{nearest(name, graph.group_by_id)}")
        if wanted.compute != "fp32" and wanted not in group.formats:
            reason = group.refusal or f"it has {len(group.formats)} others"
            raise ModelError(f"group {name!r} has no such {wanted.compute} format: {reason}")
    return {group.id: plan.format(group.id) for group in graph.groups}


@dataclass
class Rewriter:
    """A program in the making.

    Attributes:
        network: the float network.
        graph: its description.
        ranges: of activation tensors, by name.
    """

    network: Network
    graph: Graph
    ranges: Ranges
    layers: list[Layer] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    quantization: dict[str, Quantization] = field(default_factory=dict)

    def layer(self, name: str) -> Layer:
        """Return a layer of the float network."""
        return next(layer for layer in self.network.layers if layer.name == name)

    def add(self, layer: Layer, constants: Mapping[str, Array]) -> None:
        """Append a layer with the constants it reads."""
        self.layers.append(layer)
        self.weights.update(constants)

    def scale_of(self, tensor: str, scheme: Scheme) -> Quantization:
        """Return how a tensor is quantized; tied tensors share the union of their ranges."""
        if tensor not in self.ranges:
            raise ModelError(
                f"no range for tensor {tensor!r}, which the plan quantizes; "
                "expected one for every quantized input and output of a static group"
            )
        members = self.graph.ties.get(self.graph.tensors[tensor].tie or "", ())
        known = [self.ranges[name] for name in members if name in self.ranges]
        return quantization_of(reduce(Range.union, known, self.ranges[tensor]), scheme)

    def quantized(self, tensor: str, scheme: Scheme, source: str | None = None) -> str:
        """Return the name of a tensor's integers, appending what makes them from `source`."""
        integers = integer_name(tensor)
        if integers not in self.quantization:
            self.quantization[integers] = self.scale_of(tensor, scheme)
            border = Layer(f"{tensor}:quantize", "quantize", (source or tensor,), integers)
            self.layers.append(border)
        return integers

    def dequantized(self, tensor: str, output: str) -> None:
        """Append what turns a tensor's integers into the float tensor `output`."""
        border = Layer(f"{output}:dequantize", "dequantize", (integer_name(tensor),), output)
        self.layers.append(border)

    def program(self) -> Program:
        """Return what was made."""
        network = replace(self.network, layers=tuple(self.layers), weights=self.weights)
        return Program(network, self.quantization)


def integer_name(tensor: str) -> str:
    """Return the name of the integers of a tensor."""
    return f"{tensor}:int8"


def build(network: Network, graph: Graph, plan: Plan, ranges: Ranges) -> Program:
    """Return the program that computes the planned groups on integers.

    Raises:
        ModelError: the plan does not fit the network, or a range is missing.
    """
    rewriter = Rewriter(network, graph.planned(plan), ranges)
    formats = checked_formats(graph, plan)
    for group in graph.groups:
        if formats[group.id].is_float:
            for name in group.ops:
                layer = rewriter.layer(name)
                rewriter.add(layer, {name: network.weights[name] for name in layer.weights})
        else:
            _integer_group(rewriter, group, formats[group.id])
    return rewriter.program()


def _integer_group(rewriter: Rewriter, group: Group, chosen: Format) -> None:
    """Append one group as one integer layer, its ReLU fused, and its border to float."""
    main, tensor = rewriter.layer(group.ops[0]), group.outputs[0]
    static = chosen.compute == "int8"
    schemes = zip(main.inputs, chosen.inputs, strict=True)
    inputs = tuple(
        rewriter.quantized(name, scheme) if static and scheme else name for name, scheme in schemes
    )
    output = chosen.outputs[0]
    constants = _integer_constants(rewriter, main, chosen, inputs[0])
    fused = replace(
        main,
        inputs=inputs,
        output=integer_name(tensor) if output else tensor,
        weights=tuple(constants),
        attributes={**main.attributes, "relu": int(len(group.ops) > 1)},
    )
    rewriter.add(fused, constants)
    if output:
        rewriter.quantization[integer_name(tensor)] = rewriter.scale_of(tensor, output)
        rewriter.dequantized(tensor, tensor)


def _integer_constants(
    rewriter: Rewriter, layer: Layer, chosen: Format, entering: str
) -> dict[str, Array]:
    """Return the integer weight, and the bias in int32 where the input's scale is known."""
    if chosen.weight is None:
        return {}
    weight, *bias = (rewriter.network.weights[name] for name in layer.weights)
    integers, quantization = quantize_weight(weight, chosen.weight)
    name = integer_name(f"{layer.name}:weight")
    rewriter.quantization[name] = quantization
    constants = {name: integers}
    if bias and chosen.compute == "int8":
        unit = rewriter.quantization[entering].scale * quantization.scale
        steps = np.rint(bias[0] / unit).clip(-INT32_LIMIT, INT32_LIMIT)
        constants[f"{layer.name}:bias:int32"] = steps.astype(np.int32)
    elif bias:
        constants[layer.weights[1]] = bias[0]
    return constants
