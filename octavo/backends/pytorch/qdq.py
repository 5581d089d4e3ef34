"""Writing a graph anew, node by node, with integers where a plan asks for them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import fx

from octavo.backends.base import Ranges
from octavo.backends.pytorch.program import Program, Shown, value_of
from octavo.errors import ModelError, nearest
from octavo.graph import Graph
from octavo.measure import quantization_of, quantize_weight
from octavo.plan import Plan, Range, Scheme

quantized = torch.ops.quantized_decomposed
LIMITS = (0, 255, torch.uint8)
EPSILON = float(np.finfo(np.float32).eps)


def check_plan(graph: Graph, plan: Plan) -> None:
    """Check that every group exists and offers the format that the plan asks for.

    Raises:
        ModelError: one does not.
    """
    for name, wanted in plan.formats.items():
        group = graph.group_by_id.get(name)
        if group is None:
            hint = nearest(name, graph.group_by_id)
            raise ModelError(f"the plan names group {name!r}, which the model does not have{hint}")
        if not wanted.is_float and wanted not in group.formats:
            reason = group.refusal or "it is none of the formats the group offers"
            raise ModelError(f"group {name!r} cannot run as {wanted.compute}: {reason}")


@dataclass(frozen=True)
class Integers:
    """A node that makes integers, and what they mean."""

    node: fx.Node
    scale: float
    zero_point: int


@dataclass
class Writer:
    """A program in the making.

    Attributes:
        program: the float program.
        graph: its description, with the ties that hold for the plan.
        ranges: of activation tensors, by name.
    """

    program: Program
    graph: Graph
    ranges: Ranges
    target: fx.Graph = field(default_factory=fx.Graph)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)
    placed: dict[fx.Node, fx.Node] = field(default_factory=dict)
    integers: dict[fx.Node, Integers] = field(default_factory=dict)
    edges: dict[fx.Node, Integers] = field(default_factory=dict)
    rounds: dict[fx.Node, fx.Node] = field(default_factory=dict)
    dynamics: dict[fx.Node, tuple[fx.Node, fx.Node, fx.Node]] = field(default_factory=dict)
    attributes: dict[str, fx.Node] = field(default_factory=dict)

    def real(self, node: fx.Node) -> fx.Node:
        """Return what makes the values of a node of the float program, as its readers see them."""
        if node.op == "get_attr":
            return self.constant(str(node.target), self.program.constants[str(node.target)])
        if node not in self.placed:
            self.placed[node] = self.dequantize(self.integers[node], node.name)
        return self.placed[node]

    def rounded(self, node: fx.Node, scheme: Scheme) -> fx.Node:
        """Return what makes the values of a node after a round trip through integers."""
        if node in self.integers:
            return self.real(node)
        if node not in self.rounds:
            self.rounds[node] = self.dequantize(self.quantized(node, scheme), f"{node.name}_edge")
        return self.rounds[node]

    def quantized(self, node: fx.Node, scheme: Scheme) -> Integers:
        """Return what makes the integers of a node, quantizing its values where nothing does."""
        if node in self.integers:
            return self.integers[node]
        if node not in self.edges:
            scale, zero_point = self.scale_of(node.name, scheme)
            made = self.quantize(self.real(node), scale, zero_point, f"{node.name}_quantized")
            self.edges[node] = Integers(made, scale, zero_point)
        return self.edges[node]

    def scale_of(self, tensor: str, scheme: Scheme) -> tuple[float, int]:
        """Return scale and zero point of a tensor; tied ones share the union of their ranges.

        Raises:
            ModelError: its range is missing.
        """
        if tensor not in self.ranges:
            raise ModelError(
                f"no range for tensor {tensor!r}, which the plan quantizes; "
                "expected one for every quantized input and output of a static group"
            )
        members = self.graph.ties.get(self.graph.tensors[tensor].tie or "", ())
        known = [self.ranges[name] for name in members if name in self.ranges]
        found = quantization_of(reduce(Range.union, known, self.ranges[tensor]), scheme)
        return float(found.scale), int(found.zero_point)

    def call(
        self, function: Any, args: tuple[Any, ...], name: str, owner: str = "", **kwargs: Any
    ) -> fx.Node:
        """Append an operator."""
        node = self.target.create_node("call_function", function, args, kwargs, name=name)
        if owner:
            self.owners[node.name] = owner
        return node

    def quantize(self, node: fx.Node, scale: float, zero_point: int, name: str) -> fx.Node:
        """Append a quantizer."""
        args = (node, scale, zero_point, *LIMITS)
        return self.call(quantized.quantize_per_tensor.default, args, name)

    def dequantize(self, integers: Integers, name: str) -> fx.Node:
        """Append what turns integers into values."""
        args = (integers.node, integers.scale, integers.zero_point, *LIMITS)
        return self.call(quantized.dequantize_per_tensor.default, args, name)

    def dynamic(self, source: fx.Node) -> tuple[fx.Node, fx.Node, fx.Node]:
        """Append what quantizes values by their own range; return integers, scale, zero point."""
        if source in self.dynamics:
            return self.dynamics[source]
        node = self.real(source)
        name = f"{node.name}_dynamic"
        limits = (0, 255, EPSILON, torch.uint8)
        pair = self.call(quantized.choose_qparams.tensor, (node, *limits), f"{name}_range")
        scale = self.call(operator.getitem, (pair, 0), f"{name}_scale")
        zero_point = self.call(operator.getitem, (pair, 1), f"{name}_zero_point")
        args = (node, scale, zero_point, *LIMITS)
        made = self.call(quantized.quantize_per_tensor.tensor, args, name)
        self.dynamics[source] = made, scale, zero_point
        return self.dynamics[source]

    def constant(self, name: str, value: torch.Tensor) -> fx.Node:
        """Return a constant, the same node for the same name."""
        if name not in self.attributes:
            self.constants[name] = value
            label = name.replace(".", "_")
            self.attributes[name] = self.target.create_node("get_attr", name, name=label)
        return self.attributes[name]

    def weight(self, name: str, scheme: Scheme) -> tuple[fx.Node, fx.Node, fx.Node]:
        """Return the integers of a weight, and scale and zero point of every output channel."""
        integers, found = quantize_weight(self.program.constants[name].numpy(), scheme)
        channels = len(integers)
        stem = f"{name}_int8" if scheme.axis is not None else f"{name}_int8_tensor"
        scales = np.broadcast_to(found.scale, channels).astype(np.float32)
        zeros = torch.zeros(channels, dtype=torch.int64)
        return (
            self.constant(stem, torch.from_numpy(integers)),
            self.constant(f"{stem}_scale", torch.from_numpy(scales.copy())),
            self.constant(f"{stem}_zero_point", zeros),
        )

    def copy(self, node: fx.Node, owner: str = "") -> None:
        """Append a node of the float program, which reads what its inputs have become."""
        if node.op == "placeholder":
            made = self.target.placeholder(node.name)
        else:
            made = self.adapted(node, {}, node.name, owner)
        made.meta = dict(node.meta)
        self.placed[node] = made

    def adapted(
        self, node: fx.Node, given: Mapping[fx.Node, fx.Node], name: str, owner: str
    ) -> fx.Node:
        """Append an operator that reads `given` in the place of what it reads in float."""

        def find(one: fx.Node) -> fx.Node:
            if one in given:
                return given[one]
            if given and isinstance(value_of(one), (list, tuple)):  # of which this takes a part
                return self.adapted(one, given, f"{name}_parts", owner)
            return self.real(one)

        args, kwargs = fx.map_arg(node.args, find), fx.map_arg(node.kwargs, find)
        made = self.target.create_node(node.op, node.target, args, kwargs, name=name)
        if owner:
            self.owners[made.name] = owner
        return made

    def leave(self, node: fx.Node, made: fx.Node, scheme: Scheme | None) -> None:
        """Note what makes the values of a node, quantized first where it has a scheme."""
        if scheme is None:
            self.placed[node] = made
            return
        scale, zero_point = self.scale_of(node.name, scheme)
        integers = self.quantize(made, scale, zero_point, f"{node.name}_quantized")
        self.made_integers(node, Integers(integers, scale, zero_point))

    def made_integers(self, node: fx.Node, integers: Integers) -> None:
        """Note that the values of a float node are there as integers from now on."""
        self.integers[node] = integers
        self.shown[node.name] = Shown(integers.node.name, integers.scale, integers.zero_point)

    def finish(self) -> Program:
        """Return what was written."""
        self.target.output(tuple(self.real(node) for node in self.program.outputs))
        self.target.eliminate_dead_code()
        used = {str(node.target) for node in self.target.nodes if node.op == "get_attr"}
        names = {node.name for node in self.target.nodes}
        return Program(
            self.target,
            {name: value for name, value in self.constants.items() if name in used},
            self.program.bounds,
            {name: shown for name, shown in self.shown.items() if shown.node in names},
            {name: group for name, group in self.owners.items() if name in names},
        )
