"""Mends: where ONNX Runtime's own fusion makes a model slower.

A Sum does what an Add does, but no fusion looks for it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT, constant, rewire
from octavo.backends.onnxruntime.qdq import Writer

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
SLOWER_IN_INTEGERS = frozenset({"Softmax", "Where", "AveragePool"})
INTEGERS_WITHOUT_GAIN = frozenset({"ArgMax", "ArgMin"})


def mend(writer: Writer, products: Iterable[ir.Node]) -> None:
    """Apply every mend to a graph with quantized groups.

    Args:
        writer: writes into the graph.
        products: the MatMul and Gemm nodes of static INT8 groups.
    """
    keep_layer_normalization(writer.graph)
    keep_products_integer(writer, products)
    keep_float_weights(writer)
    keep_float_kernels(writer)
    spread_slopes(writer)


def keep_layer_normalization(graph: ir.Graph) -> None:
    """Keep ONNX Runtime from fusing Add and LayerNormalization into SkipLayerNormalization.

    That kernel takes 0.42 ms where a plain LayerNormalization takes 0.05 (BERT-base, sequence 128).
    """
    for node in graph:
        if node.op_type == "Add" and not node.domain and _feeds_normalization(node.outputs[0]):
            node.op_type = "Sum"


def _feeds_normalization(value: ir.Value) -> bool:
    kinds = {reader.op_type for reader in value.consumers()}
    return "LayerNormalization" in kinds or {"ReduceMean", "Sub"} <= kinds


def keep_products_integer(writer: Writer, products: Iterable[ir.Node]) -> None:
    """Keep ONNX Runtime from computing quantized matrix products in float.

    It fuses a MatMul and the Add behind it into a float Gemm before it looks for integer kernels.
    And it takes no integer kernel where a product has several readers and one of them quantizes
    it; that one gets a copy.

    Args:
        writer: writes into the graph of the products.
        products: the MatMul and Gemm nodes of static INT8 groups.
    """
    for node in products:
        product = node.outputs[0]
        if len(product.uses()) > 1 or product.is_graph_output():
            _quantize_copy(writer, product)
        if node.op_type == "MatMul":
            for reader in product.consumers():
                reader.op_type = "Sum" if reader.op_type == "Add" else reader.op_type


def keep_float_weights(writer: Writer) -> None:
    """Keep ONNX Runtime from quantizing weights of operators that the plan keeps in float.

    It does so for whatever has a constant float weight between a DequantizeLinear and a
    QuantizeLinear, which then reads a copy.
    """
    for node in list(writer.graph):
        if node.op_type in WEIGHTED and _is_float_between_integers(node):
            end = _end(node)
            if len(end.uses()) == 1:
                _quantize_copy(writer, end)


def keep_float_kernels(writer: Writer) -> None:
    """Keep ONNX Runtime from integer kernels that are slower than to dequantize and quantize.

    Between convolutions of 64 channels on 28x28, all together: 0.20 ms with QLinearSoftmax and 0.13
    with Softmax, 0.39 with QLinearWhere and 0.26 with Where; for AveragePool see its form. ArgMax
    over 21 classes on 257x257 takes 2.3 ms on integers, 1.5 in float.
    """
    for node in list(writer.graph):
        if node.domain or not any(map(_is_dequantized, node.inputs)):
            continue
        if node.op_type in SLOWER_IN_INTEGERS:
            _quantize_copy(writer, node.outputs[0])
        elif node.op_type in INTEGERS_WITHOUT_GAIN:
            source = node.inputs[0]
            node.replace_input_with(0, writer.node("Sum", [source], f"{node.name}.copy", FLOAT))


def _is_dequantized(value: ir.Value | None) -> bool:
    maker = value.producer() if value is not None else None
    return maker is not None and maker.op_type == "DequantizeLinear"


def spread_slopes(writer: Writer) -> None:
    """Write a PRelu with a constant slope per channel as max(x, 0) - slope * max(-x, 0).

    ONNX Runtime's PRelu takes 1.1 ms for 64 channels of 56x56, these five 0.4.
    """
    for node in list(writer.graph):
        slope = constant(node.inputs[1]) if node.op_type == "PRelu" and not node.domain else None
        if slope is None:
            continue
        source, name = node.inputs[0], str(node.name)
        above = writer.node("Relu", [source], f"{name}.above", FLOAT)
        negative = writer.node("Neg", [source], f"{name}.negative", FLOAT)
        below = writer.node("Relu", [negative], f"{name}.below", FLOAT)
        factor = writer.constant(f"{name}.slope", (-slope).astype(np.float32))
        scaled = writer.node("Mul", [below, factor], f"{name}.scaled", FLOAT)
        rewire(node, "Add", [above, scaled])


def _is_float_between_integers(node: ir.Node) -> bool:
    weight = node.inputs[1]
    return _is_dequantized(node.inputs[0]) and weight is not None and weight.const_value is not None


def _end(node: ir.Node) -> ir.Value:
    """Return what a node makes, behind the bias that is fused with it."""
    value = node.outputs[0]
    while len(uses := value.uses()) == 1 and uses[0].node.op_type == "Add":
        value = uses[0].node.outputs[0]
    return value


def _quantizes(node: ir.Node) -> bool:
    """Return whether a node is a quantizer, or an activation that one stands for."""
    if node.op_type in ("Relu", "Clip"):
        return all(use.node.op_type == "QuantizeLinear" for use in node.outputs[0].uses())
    return node.op_type == "QuantizeLinear"


def _quantize_copy(writer: Writer, value: ir.Value) -> None:
    quantizers = [use.node for use in value.uses() if _quantizes(use.node)]
    if quantizers:
        copy = writer.node("Sum", [value], f"{value.name}.copy", FLOAT)
        for quantizer in quantizers:
            quantizer.replace_input_with(0, copy)
