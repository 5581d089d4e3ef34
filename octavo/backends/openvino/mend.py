"""Mends: where OpenVINO would compute something else than the model says."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT, sizes
from octavo.backends.onnxruntime.qdq import Writer

PAD_TAKES_INPUTS = 11  # the first opset in which the amounts of Pad are an input
ALMOST_NOTHING = np.array(1e-30, np.float32)
"""Disappears beside any other value, and is not 0, which OpenVINO would optimize away."""


def mended(model: ir.Model) -> ir.Model:
    """Return a model that OpenVINO computes rightly; the same object where it is one already."""
    if model.opset_imports.get("", 0) < PAD_TAKES_INPUTS:
        return model
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph)
    wrong = (counts_padding, lacks_bias, finds_extremes) if quantized else (counts_padding,)
    if not any(is_wrong(node) for node in model.graph for is_wrong in wrong):
        return model
    changed = model.clone()
    writer = Writer(changed.graph)
    pad_before_averaging(writer)
    if quantized:
        add_to_products(writer)
        keep_extremes_float(writer)
    changed.graph.sort()
    return changed


def pad_before_averaging(writer: Writer) -> None:
    """Pad by an operator of its own where an AveragePool counts the padding.

    On integers OpenVINO 2026.4 pads with 0, which is not the zero point, whether the pool was
    quantized or only stands between quantizers; and with `ceil_mode` it divides by the wrong counts
    in float.
    """
    for node in list(writer.graph):
        if not counts_padding(node) or (source := node.inputs[0]) is None:
            continue
        pads = node.attributes.get_ints("pads", [])
        half = len(pads) // 2
        amounts = [0, 0, *pads[:half], 0, 0, *pads[half:]]
        amount = writer.constant(f"{node.name}.pads", np.array(amounts, np.int64))
        value = writer.constant("almost.nothing", ALMOST_NOTHING)
        padded = writer.node("Pad", [source, amount, value], f"{node.name}.padded", FLOAT)
        node.replace_input_with(0, padded)
        node.attributes.pop("pads")
        node.attributes.pop("count_include_pad")


def counts_padding(node: ir.Node) -> bool:
    """Return whether a node is an AveragePool in whose averages padding counts as zeros."""
    attributes = node.attributes
    counted = node.op_type == "AveragePool" and attributes.get_int("count_include_pad", 0)
    return bool(counted) and any(attributes.get_ints("pads", []))


def add_to_products(writer: Writer) -> None:
    """Add next to nothing to quantized products of rows that have no bias, or one of zeros.

    Of several such products OpenVINO 2026.4 makes one kernel where the shapes are fixed and one
    thread runs them, and computes something else: the quantizer behind a product then holds its
    dequantization, channel by channel. What is added differs by channel, since a vector of equal
    numbers would count as one number and be taken into the quantizer as well.
    """
    for node in list(writer.graph):
        if lacks_bias(node):
            columns = _columns(node)
            values = ALMOST_NOTHING * np.arange(1, columns + 1, dtype=np.float32)
            nothing = writer.constant(f"{node.name}.nothing", values)
            writer.follow(node, "Add", f"{node.name}.bias", [nothing])


def _columns(product: ir.Node) -> int:
    weight = _stored(product.inputs[1])
    transposed = product.attributes.get_int("transB", 0)
    return 1 if weight is None else int(weight.shape.numpy()[-2 if transposed else -1])


def lacks_bias(node: ir.Node) -> bool:
    """Return whether a node is a product of rows by a dequantized constant, without a bias."""
    if node.op_type not in ("MatMul", "Gemm") or node.domain or _stored(node.inputs[1]) is None:
        return False
    if len(sizes(node.inputs[0]) or ()) > 2:
        return False
    bias = _stored(node.inputs[2]) if len(node.inputs) > 2 else None
    if len(node.inputs) > 2 and (bias is None or np.any(bias.numpy())):
        return False
    return not any(_adds_constant(use.node) for use in node.outputs[0].uses())


def keep_extremes_float(writer: Writer) -> None:
    """Keep a quantizer from being taken into the search for an extreme.

    OpenVINO 2026.4 then compares in the type of the integers before they are made. A value with two
    readers takes nothing in: x + x * 1e-30, which is x.
    """
    for node in list(writer.graph):
        if finds_extremes(node):
            small = writer.constant("almost.nothing", ALMOST_NOTHING)
            whole = writer.follow(node, "Add", f"{node.name}.kept", [small])
            found = node.outputs[0]
            part = writer.node("Mul", [found, small], f"{node.name}.nothing", FLOAT)
            whole.producer().replace_input_with(1, part)


def finds_extremes(node: ir.Node) -> bool:
    """Return whether a node reduces values to their largest or smallest."""
    extremes = ("ReduceMax", "ReduceMin", "GlobalMaxPool")
    return node.op_type in extremes and not node.domain and node.outputs[0].dtype == FLOAT


def _stored(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the integers of a constant that is kept as such, None for other values."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    return node.inputs[0].const_value


def _adds_constant(node: ir.Node) -> bool:
    if node.op_type not in ("Add", "Sum"):
        return False
    return any(value is not None and value.const_value is not None for value in node.inputs)
