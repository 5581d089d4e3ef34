"""Taking the quantization out of a model that carries it, back to a float model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.carried import describe_carried, is_integer, is_quantizer
from octavo.backends.onnxruntime.constants import evaluate, replace_by_constant
from octavo.backends.onnxruntime.kinds import SATURATING, only_moves
from octavo.backends.onnxruntime.ties import saturation_bounds
from octavo.errors import ModelError, UsageError

FREE = (-np.inf, np.inf)
INTERVALS = {
    **dict.fromkeys(("Sigmoid", "Softmax", "HardSigmoid"), (0.0, 1.0)),
    **dict.fromkeys(("Erf", "Tanh", "Softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("Exp", "Abs", "Sqrt", "Softplus"), (0.0, np.inf)),
}
"""Between which numbers lies what an operator makes."""
AVERAGES = frozenset({"AveragePool", "GlobalAveragePool"})

LATEST = {"": 21}  # the opset of DequantizeLinear with blocks, 4 and 16 bits

Limits = tuple[float, float]


def take_apart(model: ir.Model) -> ir.Model:
    """Return a model without QuantizeLinear and DequantizeLinear; the given one is not changed.

    Stored weights and biases become float constants, which keep their rounding. Pairs on
    activations go. Where integers end at zero, a Relu may have been left out for them: a Clip to
    what they could hold takes their place.

    Args:
        model: in opset 13 or later, without functions.

    Raises:
        UsageError: it carries no quantization.
        ModelError: it holds operators on integers, which cannot be turned back.
    """
    changed = model.clone()
    if describe_carried(changed.graph) is None:
        raise UsageError("the model carries no quantization to take out; leave out --requantize")
    if any(is_integer(node) for node in changed.graph.all_nodes()):
        raise ModelError(str(describe_carried(changed.graph)))
    for graph in list(changed.graphs()):
        _Dismantler(graph).run()
    return changed


@dataclass
class _Dismantler:
    """Takes the quantization out of one graph."""

    graph: ir.Graph
    clipped: dict[tuple[int, Limits], ir.Value] = field(default_factory=dict)

    def run(self) -> None:
        """Change the graph in place."""
        for node in list(self.graph):
            if is_quantizer(node) and node.op_type == "DequantizeLinear":
                self._drop(node)
        for node in list(self.graph):
            if is_quantizer(node) and not any(
                output.uses() or output.is_graph_output() for output in node.outputs
            ):
                self.graph.remove(node, safe=True)
        self.graph.sort()

    def _drop(self, node: ir.Node) -> None:
        source, output = node.inputs[0], node.outputs[0]
        before = source.producer() if source is not None else None
        if source is not None and source.const_value is not None:
            array = self._float(node)
            if array is not None and not output.is_graph_output():
                replace_by_constant(self.graph, output, array)
        elif before is not None and is_quantizer(before) and before.op_type == "QuantizeLinear":
            self._pass_on(node, self._saturated(before))

    def _float(self, node: ir.Node) -> Array | None:
        """Return the values of a dequantized constant; None where a parameter is computed."""
        read = {str(v.name): v.const_value for v in node.inputs if v is not None}
        values = {name: np.asarray(t.numpy()) for name, t in read.items() if t is not None}
        node.domain = ""  # Microsoft's operator computes the same, for 16 bits before opset 21
        made = evaluate(node, values, LATEST) if len(values) == len(read) else None
        return None if made is None else made[0]

    def _pass_on(self, node: ir.Node, value: ir.Value) -> None:
        """Let readers of a DequantizeLinear read what was quantized."""
        output = node.outputs[0]
        if output.is_graph_output():
            passing = ir.node("Identity", [value], name=f"{node.name}.identity")
            self.graph.append(passing)
            value = passing.outputs[0]
            value.type, value.shape = output.type, output.shape
        name = output.name
        output.replace_all_uses_with(value, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)
        if value.is_graph_output():
            value.name = name

    def _saturated(self, quantizer: ir.Node) -> ir.Value:
        """Return what a quantizer reads, kept within its integers where they end at zero."""
        source = quantizer.inputs[0]
        if source is None:
            raise ModelError(f"{quantizer.name!r} has no input")
        limits = _limits(quantizer)
        is_input = source.producer() is None
        if limits is None or limits[0] < 0 or is_input or interval_of(source)[0] >= 0:
            return source
        key = id(source), limits
        if key not in self.clipped:
            self.clipped[key] = self._clip(source, quantizer, limits)
        return self.clipped[key]

    def _clip(self, source: ir.Value, quantizer: ir.Node, limits: Limits) -> ir.Value:
        ends = [self._scalar(f"{quantizer.name}.{end}", number)
                for end, number in zip(("low", "high"), limits, strict=True)]  # fmt: skip
        clip = ir.node("Clip", [source, *ends], name=f"{quantizer.name}.clip")
        result = clip.outputs[0]
        result.name, result.type, result.shape = f"{source.name}.clip", source.type, source.shape
        self.graph.append(clip)
        return result

    def _scalar(self, name: str, number: float) -> ir.Value:
        tensor = ir.tensor(np.float32(number), name=name)
        value = ir.Value(
            name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self.graph.register_initializer(value)
        return value


def interval_of(value: ir.Value | None) -> Limits:
    """Return two numbers between which a value lies in any case, as far as its producers tell."""
    node = value.producer() if value is not None else None
    if node is None or node.domain:
        return FREE
    if node.op_type in SATURATING:
        return saturation_bounds(node)
    if node.op_type == "Add":
        return _shifted(node)
    if node.op_type == "Concat" or node.op_type in AVERAGES or only_moves(node):
        read = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        lows, highs = zip(*map(interval_of, read), strict=True)
        return min(lows), max(highs)
    return INTERVALS.get(node.op_type, FREE)


def _shifted(node: ir.Node) -> Limits:
    """Return the interval of what is added to one constant number."""
    for value, other in (node.inputs, node.inputs[::-1]):
        tensor = other.const_value if other is not None else None
        if tensor is not None and tensor.size == 1:
            low, high = interval_of(value)
            number = float(tensor.numpy().item())
            return low + number, high + number
    return FREE


def _limits(quantizer: ir.Node) -> Limits | None:
    """Return the real values of the smallest and the largest integer; None for several scales."""
    parameters = [v.const_value if v is not None else None for v in quantizer.inputs[1:3]]
    scale, zero = (*parameters, None)[:2]
    if scale is None or scale.size != 1 or (len(parameters) > 1 and zero is None):
        return None
    point = np.uint8(0) if zero is None else zero.numpy().reshape(())
    if point.dtype.kind not in "iu":
        return None
    ends, step = np.iinfo(point.dtype), float(scale.numpy().item())
    return (ends.min - int(point)) * step, (ends.max - int(point)) * step
