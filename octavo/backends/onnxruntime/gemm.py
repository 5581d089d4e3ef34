"""Matrix products with a bias as Gemm: its integer kernel adds the bias to its accumulators.

A MatMul of quantized values becomes MatMulIntegerToFloat, and the Add of its bias stays a pass of
its own over the product (5 % of BERT-base, 11 % of MobileBERT). A Gemm of an INT32 bias becomes
QGemm, which adds the bias for nothing and can make integers. Gemm knows rows only, so that products
of more axes are reshaped; ONNX Runtime moves quantizers across a Reshape, so that they still fuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.channels import bias_behind, linear_of
from octavo.backends.onnxruntime.edits import FLOAT
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.onnxruntime.shapes import Shape

INT64 = ir.DataType.INT64


def bias_of(product: ir.Node) -> tuple[ir.Node, Array] | None:
    """Return the Add behind a MatMul and the bias it adds, float32 [columns].

    None for other products: the weight must be a constant matrix, the bias one constant row.
    """
    linear = linear_of(product, {}) if product.op_type == "MatMul" else None
    behind = bias_behind(product) if linear is not None else None
    if behind is None:
        return None
    add, index = behind
    bias = add.inputs[index]
    if bias is None or bias.const_value is None:
        return None
    return add, np.asarray(bias.const_value.numpy()).reshape(-1)


@dataclass
class GemmWriter:
    """Turns products of quantized values into Gemm; products of the same values share a Reshape.

    Args:
        writer: writes into the graph.
    """

    writer: Writer
    _rows: dict[int, ir.Value] = field(default_factory=dict)
    _leading: dict[int, ir.Value] = field(default_factory=dict)

    def fuse(self, product: ir.Node, add: ir.Node, bias: ir.Value, shape: Shape) -> ir.Value:
        """Put the bias into the product, drop the Add, and return what stands for its result.

        Args:
            product: a MatMul of a DequantizeLinear by a dequantized matrix.
            add: the Add of the bias behind it, its only reader.
            bias: the dequantized INT32 bias.
            shape: of what the Add makes; free dimensions are None.

        Requires: `can_fuse(shape)`.
        """
        source, end = product.inputs[0], add.outputs[0]
        if source is None or shape is None:
            raise ValueError(f"{product.name!r} cannot be a Gemm")
        product.op_type = "Gemm"
        product.resize_inputs(3)
        product.replace_input_with(2, bias)
        result = product.outputs[0]
        if len(shape) > 2:
            product.replace_input_with(0, self._as_rows(source, product.inputs[1]))
            result.shape = None
            result = self._restored(str(product.name), result, source, shape)
        end.replace_all_uses_with(result, replace_graph_outputs=True)
        self.writer.graph.remove(add, safe=True)
        end_name, end.name = end.name, None
        result.name, result.shape = end_name, end.shape
        return result

    def _as_rows(self, source: ir.Value, weight: ir.Value | None) -> ir.Value:
        if id(source) not in self._rows:
            width = 0 if weight is None else _stored(weight).shape[0]
            wanted = self._constant("rows", (-1, width))
            name = f"{source.name}.rows"
            self._rows[id(source)] = self.writer.node("Reshape", [source, wanted], name, FLOAT)
        return self._rows[id(source)]

    def _restored(
        self, name: str, rows: ir.Value, source: ir.Value, shape: Sequence[int | None]
    ) -> ir.Value:
        if sum(size is None for size in shape) <= 1:
            wanted = self._constant("shape", [-1 if size is None else size for size in shape])
        else:
            columns = self._constant("columns", [shape[-1] or 0])
            leading = [self._leading_sizes(source), columns]
            wanted = self.writer.node("Concat", leading, f"{name}.shape", INT64, axis=0)
        return self.writer.node("Reshape", [rows, wanted], f"{name}.restored", FLOAT)

    def _leading_sizes(self, source: ir.Value) -> ir.Value:
        """Return all sizes but the last; a Shape of the floats would keep them from fusing."""
        if id(source) not in self._leading:
            made = source.producer()
            integers = made.inputs[0] if made is not None else None
            sizes = self.writer.node("Shape", [integers or source], f"{source.name}.sizes", INT64)
            bounds = [self._constant("slice", [value]) for value in (0, -1)]
            name = f"{source.name}.leading"
            self._leading[id(source)] = self.writer.node("Slice", [sizes, *bounds], name, INT64)
        return self._leading[id(source)]

    def _constant(self, label: str, values: Sequence[int]) -> ir.Value:
        name = f"{label}.{'x'.join(map(str, values))}"
        return self.writer.constant(name, np.array(values, np.int64))


def can_fuse(shape: Shape, *, saturates_in_float: bool) -> bool:
    """Return whether a product whose result has this shape can be a Gemm.

    Args:
        shape: None where even the number of axes is not known.
        saturates_in_float: a Relu or Clip follows whose result is float; ONNX Runtime would fuse it
            with a Gemm in float, unless a Reshape is between them.
    """
    if shape is None or len(shape) < 2 or shape[-1] is None:
        return False
    return len(shape) > 2 or not saturates_in_float


def _stored(dequantized: ir.Value) -> Array:
    """Return the constant integers behind a DequantizeLinear."""
    node = dequantized.producer()
    integers = node.inputs[0] if node is not None else None
    if integers is None or integers.const_value is None:
        raise ValueError(f"{dequantized.name!r} is not a stored constant")
    return np.asarray(integers.const_value.numpy())
