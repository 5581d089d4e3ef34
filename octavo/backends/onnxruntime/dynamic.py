"""Dynamic quantization of matrix products: activation ranges are found while the model runs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT
from octavo.backends.onnxruntime.qdq import Writer
from octavo.errors import ModelError
from octavo.measure import quantize_weight
from octavo.plan import Format


def write_dynamic(writer: Writer, head: ir.Node, wanted: Format) -> ir.Value:
    """Replace a MatMul or Gemm by the form that ONNX Runtime fuses.

    The form is DynamicQuantizeLinear, MatMulInteger, Cast, Mul by both scales, Add of a bias; one
    DynamicQuantizeLinear serves every product of the same tensor.

    Returns:
        what takes the place of its output, under the same name.
    """
    source, weight = head.inputs[0], head.inputs[1]
    if source is None or weight is None or weight.const_value is None or wanted.weight is None:
        raise ModelError(f"group {head.name!r} has no constant weight for dynamic quantization")
    integers, quantization = quantize_weight(np.asarray(weight.const_value.numpy()), wanted.weight)
    if wanted.weight.axis == 0:  # MatMulInteger wants the columns as channels
        integers = np.ascontiguousarray(integers.T)
    label = f"{weight.name}.{head.name}"
    stored = writer.constant(f"{label}.s8", integers)
    scale, zero = writer.parameters(f"{label}.s8", quantization)
    activation = _quantized(writer, source)
    product = _product(writer, str(head.name), activation, stored, (scale, zero))
    return _connect(writer, head, product)


def _quantized(writer: Writer, source: ir.Value) -> list[ir.Value]:
    """Return integers, scale and zero point of `source`, found at run time."""
    for use in source.uses():
        if use.node.op_type == "DynamicQuantizeLinear" and use.node.graph is writer.graph:
            return list(use.node.outputs)
    name = f"{source.name}.dynamic"
    types = (ir.DataType.UINT8, FLOAT, ir.DataType.UINT8)
    outputs = [
        ir.Value(name=f"{name}.{part}", type=ir.TensorType(dtype))
        for part, dtype in zip(("values", "scale", "zero_point"), types, strict=True)
    ]
    writer.graph.append(ir.node("DynamicQuantizeLinear", [source], outputs=outputs, name=name))
    return outputs


def _product(
    writer: Writer,
    name: str,
    activation: list[ir.Value],
    weight: ir.Value,
    parameters: tuple[ir.Value, ir.Value],
) -> ir.Value:
    values, scale, zero = activation
    weight_scale, weight_zero = parameters
    integer = writer.node(
        "MatMulInteger", [values, weight, zero, weight_zero], f"{name}.integer", ir.DataType.INT32
    )
    cast = writer.node("Cast", [integer], f"{name}.cast", FLOAT, to=int(FLOAT))
    both = writer.node("Mul", [scale, weight_scale], f"{name}.scale", FLOAT)
    return writer.node("Mul", [cast, both], f"{name}.product", FLOAT)


def _connect(writer: Writer, head: ir.Node, product: ir.Value) -> ir.Value:
    """Put the product, with the bias of a Gemm, where the replaced node was."""
    bias = head.inputs[2] if len(head.inputs) > 2 else None
    if bias is not None:
        product = writer.node("Add", [product, bias], f"{head.name}.bias", FLOAT)
    output = head.outputs[0]
    name = str(output.name)
    output.replace_all_uses_with(product, replace_graph_outputs=True)
    writer.graph.remove(head, safe=True)
    product.name, product.shape = name, output.shape
    return product
