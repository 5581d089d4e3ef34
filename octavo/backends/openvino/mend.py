"""Mends: where OpenVINO would compute something else than the model says, or float for INT8."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.edits import FLOAT, constant, scalar, sizes
from octavo.backends.onnxruntime.qdq import Writer

PAD_TAKES_INPUTS = 11  # the first opset in which the amounts of Pad are an input
ALMOST_NOTHING = np.array(1e-30, np.float32)
"""Disappears beside any other value, and is not 0, which OpenVINO would optimize away."""


def mended(model: ir.Model) -> ir.Model:
    """Return a model that OpenVINO computes rightly; the same object where it is one already."""
    if model.opset_imports.get("", 0) < PAD_TAKES_INPUTS:
        return model
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph)
    wrong = (counts_padding, *((steps, has_level_bias, finds_extremes) if quantized else ()))
    if not any(is_wrong(node) for node in model.graph for is_wrong in wrong):
        return model
    changed = model.clone()
    writer = Writer(changed.graph)
    pad_before_averaging(writer)
    if quantized:
        step_before(writer)
        vary_biases(writer)
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


def step_before(writer: Writer) -> None:
    """Leave out what a quantized convolution of size 1 steps over by a pool before it.

    OpenVINO 2026.4 does so itself where nobody needs those values, but puts its pool into the
    middle of the dequantization, which it does not recognize any more: the convolution then
    multiplies floats.
    """
    for node in [node for node in writer.graph if steps(node)]:
        source = node.inputs[0]
        strides = node.attributes.get_ints("strides", [])
        size = {"kernel_shape": [1] * len(strides), "strides": list(strides)}
        pool = writer.node("MaxPool", [source], f"{node.name}.stepped", FLOAT, **size)
        node.replace_input_with(0, pool)
        node.attributes.pop("strides")


def steps(node: ir.Node) -> bool:
    """Return whether a node and all that read the same are quantized convolutions that step."""
    if not _steps(node) or (source := node.inputs[0]) is None:
        return False
    return all(_steps(use.node) for use in source.uses())


def _steps(node: ir.Node) -> bool:
    """Return whether a node is a quantized convolution of size 1 that steps over values."""
    if node.op_type != "Conv" or node.domain or not _is_dequantized(node.inputs[0]):
        return False
    stored = _stored(node.inputs[1])
    grouped = node.attributes.get_int("group", 1) > 1
    if stored is None or grouped or any(node.attributes.get_ints("pads", [])):
        return False
    strides = node.attributes.get_ints("strides", [])
    return set(stored.shape.numpy()[2:]) == {1} and any(step > 1 for step in strides)


def _is_dequantized(value: ir.Value | None) -> bool:
    maker = value.producer() if value is not None else None
    return maker is not None and maker.op_type == "DequantizeLinear"


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
        reader = _adder(node)
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
    if node.op_type not in ("MatMul", "Gemm") or node.domain or _stored(node.inputs[1]) is None:
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
        stored = _stored(product.inputs[2])
        made = product.inputs[2].producer() if product.inputs[2] is not None else None
        scale = constant(made.inputs[1]) if made is not None else None
        return constant(product.inputs[2]) if stored is None else stored.numpy() * scale
    reader = _adder(product)
    added = (constant(value) for value in reader.inputs) if reader is not None else ()
    return next((array for array in added if array is not None), None)


def _adder(product: ir.Node) -> ir.Node | None:
    """Return the Add of a constant that alone reads what a product makes."""
    readers = [use.node for use in product.outputs[0].uses()]
    if len(readers) != 1 or readers[0].op_type != "Add" or readers[0].domain:
        return None
    return readers[0] if any(map(_is_constant, readers[0].inputs)) else None


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _columns(product: ir.Node) -> int:
    weight = _stored(product.inputs[1])
    transposed = product.attributes.get_int("transB", 0)
    return 1 if weight is None else int(weight.shape.numpy()[-2 if transposed else -1])


def _stored(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the integers of a constant that is kept as such, None for other values."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    return node.inputs[0].const_value


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
    """Return whether a node reduces values to their largest or smallest and has no mend yet."""
    extremes = ("ReduceMax", "ReduceMin", "GlobalMaxPool")
    if node.op_type not in extremes or node.domain or node.outputs[0].dtype != FLOAT:
        return False
    return not any(_makes_nothing(use.node) for use in node.outputs[0].uses())


def _makes_nothing(node: ir.Node) -> bool:
    return node.op_type == "Mul" and scalar(node.inputs[1]) == float(ALMOST_NOTHING)
