"""Biases of quantized products of rows, which OpenVINO needs to differ by column."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.edits import constant, sizes
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.openvino.nothing import ALMOST_NOTHING


def vary_biases(writer: Writer) -> None:
    """Give quantized products of rows a bias that differs by column, by next to nothing.

    Of several such products OpenVINO 2026.4 makes one kernel where the shapes are fixed and one
    thread runs them. Without a bias, or with one of equal numbers, which counts as one number, the
    dequantization of a product is taken into the quantizer behind it, column by column, and that
    kernel computes something else.
    """
    for node in list(writer.graph):
        if not has_level_bias(node):
            continue
        reader = adder(node)
        level = _bias(node)
        value = 0.0 if level is None else float(level.flat[0])
        varied = writer.constant(f"{node.name}.varied", _varied(value, _columns(node)))
        if len(node.inputs) > 2:
            node.replace_input_with(2, varied)
        elif reader is not None:
            index = next(i for i, v in enumerate(reader.inputs) if _is_constant(v))
            reader.replace_input_with(index, varied)
        else:
            writer.follow(node, "Add", f"{node.name}.bias", [varied])


def _varied(value: float, columns: int) -> Array:
    """Return a row of numbers that differ from `value` by the least that floats can."""
    if value == 0:
        return ALMOST_NOTHING * np.arange(1, columns + 1, dtype=np.float32)
    row = np.full(columns, value, np.float32)
    row[1::2] = np.nextafter(np.float32(value), np.float32(np.inf))
    return row


def has_level_bias(node: ir.Node) -> bool:
    """Return whether a node is a product of rows by a stored matrix, whose bias is one number."""
    if node.op_type not in ("MatMul", "Gemm") or node.domain or stored(node.inputs[1]) is None:
        return False
    if len(sizes(node.inputs[0]) or ()) > 2 or _columns(node) < 2:
        return False
    bias = _bias(node)
    if bias is None:
        return len(node.inputs) < 3
    return bias.size > 0 and bool(np.all(bias == bias.flat[0]))


def _bias(product: ir.Node) -> Array | None:
    """Return the constant that is added to a product, in it or behind it; None where none is."""
    if len(product.inputs) > 2:
        integers = stored(product.inputs[2])
        made = product.inputs[2].producer() if product.inputs[2] is not None else None
        scale = constant(made.inputs[1]) if made is not None else None
        return constant(product.inputs[2]) if integers is None else integers.numpy() * scale
    reader = adder(product)
    added = (constant(value) for value in reader.inputs) if reader is not None else ()
    return next((array for array in added if array is not None), None)


def adder(product: ir.Node) -> ir.Node | None:
    """Return the Add of a constant that alone reads what a product makes."""
    readers = [use.node for use in product.outputs[0].uses()]
    if len(readers) != 1 or readers[0].op_type != "Add" or readers[0].domain:
        return None
    return readers[0] if any(map(_is_constant, readers[0].inputs)) else None


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _columns(product: ir.Node) -> int:
    weight = stored(product.inputs[1])
    transposed = product.attributes.get_int("transB", 0)
    return 1 if weight is None else int(weight.shape.numpy()[-2 if transposed else -1])


def stored(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the integers of a constant that is kept as such, None for other values."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    return node.inputs[0].const_value
