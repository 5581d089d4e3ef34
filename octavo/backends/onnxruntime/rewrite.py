"""From a float graph and a plan to the QDQ graph that ONNX Runtime runs in INT8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from octavo.arrays import Array
from octavo.backends.base import Ranges
from octavo.backends.onnxruntime.align import align_depthwise, align_patches, remember
from octavo.backends.onnxruntime.dynamic import write_dynamic
from octavo.backends.onnxruntime.edits import FLOAT
from octavo.backends.onnxruntime.forms import find_limits, write_form
from octavo.backends.onnxruntime.gemm import GemmWriter, bias_of, can_fuse
from octavo.backends.onnxruntime.graph import is_constant
from octavo.backends.onnxruntime.kinds import SATURATING
from octavo.backends.onnxruntime.load import native, wrap
from octavo.backends.onnxruntime.mend import mend
from octavo.backends.onnxruntime.qdq import Writer, bias_quantization, weight_with_bias
from octavo.backends.onnxruntime.recurrent import write_recurrent
from octavo.backends.onnxruntime.shapes import Shape, free_shapes
from octavo.backends.onnxruntime.ties import saturation_bounds
from octavo.errors import ModelError, nearest
from octavo.graph import Graph, Group
from octavo.measure import Quantization, quantization_of, quantize_weight
from octavo.model import Model
from octavo.plan import U8, Format, Plan, Range, Scheme
from octavo.target import Target


def build(
    model: Model,
    graph: Graph,
    plan: Plan,
    ranges: Ranges,
    *,
    optimize: bool = True,
    aligned: bool = False,
    plain: bool = False,
) -> Model:
    """Return the INT8 form of `model`; `Backend.build` and, not optimized, `Backend.reference`.

    Args:
        model: the float model.
        graph: its description, with the formats that its groups can take.
        plan: what to quantize.
        ranges: of the activations that the plan quantizes.
        optimize: whether the runtime may rewrite what is built.
        aligned: whether channels are padded to what the integer convolutions are fast at.
        plain: whether operators stay as they are between quantizers, for another runtime than
            ONNX Runtime, which fuses in other ways.
    """
    check_plan(graph, plan)
    built = native(model).canonical.clone()
    convolutions = _convolutions(graph, plan) if aligned else frozenset()
    remember(built, align_depthwise(built.graph, convolutions))
    rewriter = Rewriter(graph.planned(plan), plan, ranges, built.graph, optimize, plain)
    if any(bias_of(product) for product in rewriter.products):
        rewriter.shapes = free_shapes(built)
    rewriter.run()
    if optimize and not plain and rewriter.quantized_groups:
        mend(rewriter.writer, rewriter.products)
        align_patches(rewriter.writer, graph.inputs, convolutions)
    for declared, made in zip(
        native(model).canonical.graph.outputs, built.graph.outputs, strict=True
    ):
        made.type = made.type or declared.type
    built.graph.sort()
    common.RemoveUnusedNodesPass()(built)
    return wrap(built, model, optimize=optimize)


def aligns(target: Target) -> bool:
    """Return whether padded channels are faster there: on x86, where it was measured."""
    return target.cpu.architecture == "x86_64"


def _convolutions(graph: Graph, plan: Plan) -> frozenset[str]:
    """Return the ids of the convolutions that a plan makes integer."""
    groups = (group.id for group in graph.groups if group.kind == "conv")
    return frozenset(name for name in groups if plan.format(name).compute == "int8")


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


@dataclass
class Rewriter:
    """Writes one plan into one graph."""

    graph: Graph
    plan: Plan
    ranges: Ranges
    target: ir.Graph
    optimize: bool = True
    plain: bool = False
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    values: dict[str, ir.Value] = field(default_factory=dict)
    outputs: dict[str, tuple[Scheme, ir.Value]] = field(default_factory=dict)
    edges: dict[tuple[str, Scheme], ir.Value] = field(default_factory=dict)

    @property
    def quantized_groups(self) -> list[tuple[Group, Format]]:
        """Groups that do not stay float, with their formats."""
        pairs = ((group, self.plan.format(group.id)) for group in self.graph.groups)
        return [(group, wanted) for group, wanted in pairs if not wanted.is_float]

    @property
    def products(self) -> list[ir.Node]:
        """The matrix products that are static INT8."""
        return [
            self.nodes[group.id]
            for group, wanted in self.quantized_groups
            if group.kind == "matmul" and wanted.compute == "int8"
        ]

    def __post_init__(self) -> None:
        self.nodes = {str(node.name): node for node in self.target}

    def run(self) -> None:
        """Rewrite the graph in place."""
        self.writer = Writer(self.target)
        self.gemms = GemmWriter(self.writer)
        self.biased = self._biased_products()
        self.limits = find_limits(self.graph, self.plan, self.nodes)
        self.values = {str(value.name): value for value in self.target.inputs}
        for node in self.target:
            self.values.update({str(value.name): value for value in node.outputs})
        for group, wanted in self.quantized_groups:
            self._quantize_outputs(group, wanted)
        for group, wanted in self.quantized_groups:
            if wanted.compute == "int8":
                self._quantize_inputs(group, wanted)
                self._write_form(group, wanted)
                self._quantize_constants(group, wanted)
            elif wanted.compute == "int8_dynamic" and group.kind == "recurrent":
                head = self.nodes[group.id]
                write_recurrent(self.writer, head, wanted, optimize=self.optimize)
            elif wanted.compute == "int8_dynamic":
                made = write_dynamic(self.writer, self.nodes[group.id], wanted)
                self.values[str(made.name)] = made
            else:
                self._store_table(group, wanted)

    def _range(self, tensor: str) -> Range:
        """Return the range of a tensor, the union over its tie, as far as its readers tell."""
        tie = self.graph.tensors[tensor].tie
        names = self.graph.ties[tie] if tie is not None else (tensor,)
        found = [self.ranges[name] for name in names if name in self.ranges]
        if not found:
            made = self.graph.producer.get(tensor)
            where = f"made by {made.id!r}" if made else "a model input"
            raise ModelError(f"no range for tensor {tensor!r} ({where}), which the plan quantizes")
        result = found[0]
        for other in found[1:]:
            result = result.union(other)
        limits = self.limits.get(tensor)
        if limits is None:
            return result
        return Range(max(result.low, limits.low), min(result.high, limits.high))

    def _quantization(self, tensor: str, scheme: Scheme) -> Quantization:
        return quantization_of(self._range(tensor), scheme)

    def _quantize_outputs(self, group: Group, wanted: Format) -> None:
        """Put Q and DQ behind the group; the dequantized value takes over the tensor's name."""
        for name, scheme in zip(group.outputs, wanted.outputs, strict=True):
            if scheme is None:
                continue
            quantization = self._quantization(name, scheme)
            value = self._without_saturation(self.values[name], quantization)
            result = self.writer.round_trip(value, name, quantization)
            quantizer = result.producer().inputs[0].producer()
            replaced = self.values[name]
            replaced.replace_all_uses_with(result, replace_graph_outputs=True)
            quantizer.replace_input_with(0, value)
            replaced.name, result.name = self.writer.free(f"{name}.float"), name
            result.shape = replaced.shape
            self.outputs[name] = (scheme, result)
            if value is not replaced:
                self.target.remove(replaced.producer(), safe=True)

    def _without_saturation(self, value: ir.Value, quantization: Quantization) -> ir.Value:
        """Return what a Relu or Clip reads, in place of it, where the integers keep its bounds.

        They keep those within half a step: zero is an integer, so that the others are shifted.
        """
        node = value.producer()
        source = node.inputs[0] if node is not None else None
        if node is None or source is None or node.op_type not in SATURATING:
            return value
        low, high = saturation_bounds(node)
        lowest, highest = quantization.range
        slack = 0.501 * float(quantization.scale)
        return source if lowest >= low - slack and highest <= high + slack else value

    def _quantize_inputs(self, group: Group, wanted: Format) -> None:
        head = self.nodes[group.id]
        for name, scheme in zip(group.inputs, wanted.inputs, strict=True):
            if scheme is None:
                continue
            current = self.outputs[name][1] if name in self.outputs else self.values[name]
            value = self._dequantized(name, scheme, current)
            for index, given in enumerate(head.inputs):
                if given is current and value is not current:
                    head.replace_input_with(index, value)

    def _write_form(self, group: Group, wanted: Format) -> None:
        """Write an operator that has no fast integer kernel as others that have."""
        if wanted.outputs[0] is not None and not self.plain:
            output = self._quantization(group.outputs[0], wanted.outputs[0])
            write_form(self.writer, self.nodes[group.id], output)

    def _dequantized(self, name: str, scheme: Scheme, current: ir.Value) -> ir.Value:
        if name in self.outputs and self.outputs[name][0] == scheme:
            return current
        key = (name, scheme)
        if key not in self.edges:
            label = name if name not in self.outputs else f"{name}.again"
            label = label if scheme == U8 else f"{label}.s{scheme.bits}"
            quantization = self._quantization(name, scheme)
            self.edges[key] = self.writer.round_trip(current, label, quantization)
        return self.edges[key]

    def _quantize_constants(self, group: Group, wanted: Format) -> None:
        if wanted.weight is None:
            return
        head = self.nodes[group.id]
        if group.kind in ("conv", "conv_transpose", "matmul"):
            weight = wanted.weight
            if group.kind == "conv_transpose" and weight.axis is not None and not self.plain:
                weight = replace(weight, axis=0)  # it is written as a convolution
            self._quantize_weight(group, head, wanted.inputs[0], weight)
            return
        for index, value in enumerate(head.inputs):
            if value is not None and is_constant(value) and value.dtype == ir.DataType.FLOAT:
                integers, quantization = quantize_weight(_array(value), wanted.weight)
                stored = self._stored(f"{value.name}.u8", integers, quantization)
                head.replace_input_with(index, stored)

    def _biased_products(self) -> dict[str, tuple[ir.Node, Array, Shape]]:
        """Return the Add, the bias and the shape of each MatMul that can be a Gemm, by group."""
        found: dict[str, tuple[ir.Node, Array, Shape]] = {}
        for group, wanted in () if self.plain else self.quantized_groups:
            known = bias_of(self.nodes[group.id]) if wanted.compute == "int8" else None
            if group.kind != "matmul" or known is None or known[0].name not in group.ops:
                continue
            shape = self.shapes.get(str(known[0].outputs[0].name))
            in_float = len(group.ops) > 2 and wanted.outputs == (None,)
            if can_fuse(shape, saturates_in_float=in_float):
                found[group.id] = (*known, shape)
        return found

    def _quantize_weight(
        self, group: Group, head: ir.Node, inputs: Scheme | None, scheme: Scheme
    ) -> None:
        weight = head.inputs[1]
        bias = head.inputs[2] if len(head.inputs) > 2 else None
        if weight is None or inputs is None:
            raise ModelError(f"group {group.id!r} has no weight to quantize")
        scale = float(self._quantization(group.inputs[0], inputs).scale)
        biased = self.biased.get(group.id)
        small = biased[1] if biased else None if bias is None else _array(bias).reshape(-1)
        integers, quantization, steps = weight_with_bias(_array(weight), scheme, small, scale)
        label = f"{weight.name}.{group.id}" if len(weight.uses()) > 1 else f"{weight.name}.s8"
        head.replace_input_with(1, self._stored(label, integers, quantization))
        if steps is not None:
            stored = self._stored(
                f"{group.id}.bias.s32", steps, bias_quantization(quantization, scale)
            )
            if biased:
                result = self.gemms.fuse(head, biased[0], stored, biased[2])
                self.values[str(result.name)] = result
            else:
                head.replace_input_with(2, stored)

    def _stored(self, name: str, integers: Array, quantization: Quantization) -> ir.Value:
        return self.writer.stored(name, integers, quantization)

    def _store_table(self, group: Group, wanted: Format) -> None:
        """Keep an embedding in INT8 and dequantize the rows that were looked up."""
        head = self.nodes[group.id]
        table = head.inputs[0]
        if table is None or wanted.weight is None:
            raise ModelError(f"group {group.id!r} has no table to store")
        integers, quantization = quantize_weight(_array(table), wanted.weight)
        output = head.outputs[0]
        name = str(output.name)
        label = f"{table.name}.rows.s8"
        head.replace_input_with(0, self.writer.constant(label, integers))
        parameters = self.writer.parameters(label, quantization)
        result = self.writer.node(
            "DequantizeLinear", [output, *parameters], f"{name}.looked_up", FLOAT, axis=-1
        )
        dequantizer = result.producer()
        output.replace_all_uses_with(result, replace_graph_outputs=True)
        dequantizer.replace_input_with(0, output)
        self.values[name] = result
        output.name, result.name = self.writer.free(f"{name}.stored"), name
        result.shape = output.shape
        output.type = ir.TensorType(ir.DataType.INT8)


def _array(value: ir.Value) -> Array:
    if value.const_value is None:
        raise ModelError(f"{value.name!r} is not constant")
    return np.asarray(value.const_value.numpy())
