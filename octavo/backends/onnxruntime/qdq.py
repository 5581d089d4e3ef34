"""Writing QuantizeLinear, DequantizeLinear and integer constants into a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.edits import FLOAT, Attribute
from octavo.measure import Quantization, quantize, quantize_weight
from octavo.plan import S8, Scheme

BIAS_LIMIT = 2.0**30  # keeps an INT32 bias clear of the accumulator's end


class Writer:
    """Adds nodes and constants to one graph; the graph is sorted when all is written.

    Args:
        graph: the graph; a name that it has already (it may hold QDQ from before) gets a suffix.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._constants: dict[str, ir.Value] = {}
        self._taken = {str(value.name) for value in graph.inputs} | set(graph.initializers)
        for body in graph.subgraphs():  # a name inside a body may not be that of a value outside
            self._taken.update({str(value.name) for value in body.inputs} | set(body.initializers))
        for node in graph.all_nodes():
            self._taken.update(str(named.name) for named in (node, *node.outputs))

    def free(self, name: str) -> str:
        """Return `name`, with a suffix where the graph has one like it, and reserve it."""
        found, index = name, 1
        while found in self._taken or found in self.graph.initializers:
            found, index = f"{name}.{index}", index + 1
        self._taken.add(found)
        return found

    def constant(self, name: str, array: Array) -> ir.Value:
        """Return a constant of `array` called `name`; the same one for the same name and array.

        Another array under a name that is taken gets a suffix.
        """
        known = self._constants.get(name)
        if known is None or not _holds(known, array):
            tensor = ir.tensor(array, name=self.free(name))
            known = self._constants[name] = ir.Value(
                name=tensor.name,
                shape=tensor.shape,
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
            self.graph.register_initializer(known)
        return known

    def number(self, name: str, value: float) -> ir.Value:
        """Return a float constant without axes."""
        return self.constant(name, np.array(value, np.float32))

    def integers(self, values: Sequence[int]) -> ir.Value:
        """Return a constant of INT64: axes, shapes, pads."""
        return self.constant(f"int64.{'_'.join(map(str, values))}", np.array(values, np.int64))

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        dtype: ir.DataType,
        **attributes: Attribute,
    ) -> ir.Value:
        """Append a node with one output; node and output carry the same name."""
        name = self.free(name)
        output = ir.Value(name=name, type=ir.TensorType(dtype))
        made = ir.node(op_type, inputs, attributes or None, outputs=[output], name=name)
        self.graph.append(made)
        return output

    def follow(
        self,
        node: ir.Node,
        op_type: str,
        name: str,
        others: Sequence[ir.Value] = (),
        **attributes: Attribute,
    ) -> ir.Value:
        """Put a node behind `node`, whose name it takes for what it makes, and return its output.

        Args:
            node: makes one value.
            op_type: what reads that value instead of its readers.
            name: of the new node.
            others: further inputs.
            attributes: of the new node.
        """
        inner = node.outputs[0]
        dtype = inner.dtype or FLOAT
        made = self.node(op_type, [inner, *others], name, dtype, **attributes)
        outer, producer = str(inner.name), made.producer()
        inner.replace_all_uses_with(made, replace_graph_outputs=True)
        producer.replace_input_with(0, inner)
        made.name, inner.name, made.shape, inner.shape = outer, made.name, inner.shape, None
        return made

    def parameters(self, name: str, quantization: Quantization) -> list[ir.Value]:
        """Return the constants of scale and zero point for the tensor called `name`."""
        scale = self.constant(f"{name}.scale", quantization.scale)
        zero = quantization.zero_point.astype(storage(quantization.scheme))
        return [scale, self.constant(f"{name}.zero_point", zero)]

    def round_trip(self, value: ir.Value, name: str, quantization: Quantization) -> ir.Value:
        """Return `value` quantized and dequantized; the new nodes are named after `name`."""
        parameters = self.parameters(name, quantization)
        dtype = ir.DataType.INT8 if quantization.scheme.signed else ir.DataType.UINT8
        integer = self.node("QuantizeLinear", [value, *parameters], f"{name}.quantized", dtype)
        real = self.node("DequantizeLinear", [integer, *parameters], f"{name}.dequantized", FLOAT)
        integer.shape = real.shape = value.shape
        return real

    def stored(self, name: str, integers: Array, quantization: Quantization) -> ir.Value:
        """Return a constant kept as integers and dequantized where it is read."""
        inputs = [self.constant(name, integers), *self.parameters(name, quantization)]
        axis = quantization.scheme.axis
        attributes = {} if axis is None else {"axis": axis}
        return self.node("DequantizeLinear", inputs, f"{name}.dequantized", FLOAT, **attributes)


def _holds(value: ir.Value, array: Array) -> bool:
    stored = value.const_value
    if stored is None:
        return False
    known = stored.numpy()
    return known.dtype == array.dtype and np.array_equal(known, array)


def storage(scheme: Scheme) -> np.dtype[Any]:
    """Return the integer type a scheme is stored in."""
    if scheme.bits > 8:
        return np.dtype(np.int32)
    return np.dtype(np.int8 if scheme.signed else np.uint8)


def weight_with_bias(
    weight: Array, scheme: Scheme, bias: Array | None, input_scale: float
) -> tuple[Array, Quantization, Array | None]:
    """Quantize a weight and its bias together.

    The bias is an integer multiple of input scale x weight scale. Where the weight of a channel is
    so small that its bias would not fit 31 bits, the weight's scale is raised instead.

    Args:
        weight: float32, the channel axis is `scheme.axis`.
        scheme: the weight's scheme.
        bias: float32 [channels], or None.
        input_scale: the scale of the activation that is multiplied.

    Returns:
        the integer weight, its quantization, and the INT32 bias (None without one).
    """
    integers, quantization = quantize_weight(weight, scheme)
    if bias is None:
        return integers, quantization, None
    least = np.abs(bias) / (input_scale * BIAS_LIMIT)
    needed = least if scheme.axis is not None else least.max(initial=0.0)
    if np.any(needed > quantization.scale):
        scale = np.maximum(quantization.scale, needed).astype(np.float32)
        quantization = replace(quantization, scale=scale)
        integers = quantize(weight, quantization)
    steps = bias.astype(np.float64) / (input_scale * quantization.scale.astype(np.float64))
    return integers, quantization, np.rint(steps).astype(np.int32)


def bias_quantization(weight: Quantization, input_scale: float) -> Quantization:
    """Return the quantization of an INT32 bias that is added to input x weight."""
    scale = np.asarray(weight.scale * np.float32(input_scale), np.float32)
    axis = None if weight.scheme.axis is None else 0
    return Quantization(scale, np.zeros(scale.shape, np.int32), replace(S8, bits=32, axis=axis))
