"""Mends: where OpenVINO would compute something else than the model says, or float for INT8."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import FLOAT, integers, scalar, sizes
from octavo.backends.onnxruntime.kinds import TIED
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.openvino.biases import has_level_bias, stored, vary_biases
from octavo.backends.openvino.columns import joins_columns, keep_products_apart
from octavo.backends.openvino.masks import chooses_constant, compute_masks
from octavo.backends.openvino.nothing import ALMOST_NOTHING, is_read_twice, read_twice
from octavo.backends.openvino.outputs import keep_outputs_apart, repeats_output
from octavo.backends.openvino.twice import own_weights, shares_weight

PAD_TAKES_INPUTS = 11  # the first opset in which the amounts of Pad are an input
LEAST = np.array(-np.inf, np.float32)


def mended(model: ir.Model) -> ir.Model:
    """Return a model that OpenVINO computes rightly; the same object where it is one already."""
    pads = model.opset_imports.get("", 0) >= PAD_TAKES_INPUTS
    quantized = pads and any(node.op_type == "QuantizeLinear" for node in model.graph)
    wrong = (shares_weight, *((counts_padding,) if pads else ()), *(QUANTIZED if quantized else ()))
    if not any(is_wrong(node) for node in model.graph for is_wrong in wrong):
        return model
    changed = model.clone()
    writer = Writer(changed.graph)
    if quantized:
        keep_outputs_apart(writer)  # first, while nodes are in the order in which they run
    own_weights(writer)
    if pads:
        pad_before_averaging(writer)
    if quantized:
        compute_masks(writer)
        step_before(writer)
        vary_biases(writer)
        keep_products_apart(writer)
        keep_extremes_float(writer)
        keep_apart(writer)
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
    weight = stored(node.inputs[1])
    grouped = node.attributes.get_int("group", 1) > 1
    if weight is None or grouped or any(node.attributes.get_ints("pads", [])):
        return False
    strides = node.attributes.get_ints("strides", [])
    return set(weight.shape.numpy()[2:]) == {1} and any(step > 1 for step in strides)


def _is_dequantized(value: ir.Value | None) -> bool:
    maker = value.producer() if value is not None else None
    return maker is not None and maker.op_type == "DequantizeLinear"


def keep_extremes_float(writer: Writer) -> None:
    """Keep a quantizer from being taken into the search for an extreme.

    OpenVINO 2026.4 then compares in the type of the integers before they are made.
    """
    for node in list(writer.graph):
        if finds_extremes(node):
            read_twice(writer, node)


def finds_extremes(node: ir.Node) -> bool:
    """Return whether a node reduces values to their largest or smallest and has no mend yet."""
    extremes = ("ReduceMax", "ReduceMin", "GlobalMaxPool")
    if node.op_type not in extremes or node.domain or node.outputs[0].dtype != FLOAT:
        return False
    return not is_read_twice(node)


def keep_apart(writer: Writer) -> None:
    """Keep what is around a value from being moved across it, by a maximum of it and the least.

    OpenVINO 2026.4 moves a dequantization behind a Pad and leaves the number that is padded with as
    it was, and the zero point where one value becomes several. It moves a quantizer before a
    Concat, and crashes where another one is right behind. It moves what dequantizes the columns of
    a product behind a pool, which has fewer, and does not compile. It moves factors of channels
    behind a mean or a sum of three axes, and takes them for factors of samples there.
    """
    apart = (pads_wrongly, quantizes_again, pools_columns, adds_scaled)
    for node in [node for node in writer.graph if any(is_wrong(node) for is_wrong in apart)]:
        least = writer.constant("least", LEAST)
        kept = writer.node("Max", [node.inputs[0], least], f"{node.name}.kept", FLOAT)
        kept.shape = node.inputs[0].shape
        node.replace_input_with(0, kept)


def pads_wrongly(node: ir.Node) -> bool:
    """Return whether a node pads floats by a number that OpenVINO would dequantize.

    What is dequantized right before is padded rightly with integers, and with zeros except along an
    axis of one value: there the zero point, which the padding should not have, is not padded.
    """
    if node.op_type != "Pad" or node.domain or node.outputs[0].dtype != FLOAT or _is_kept(node):
        return False
    if node.attributes.get_string("mode", "constant") != "constant":
        return False
    value = node.inputs[2] if len(node.inputs) > 2 else None
    padded = 0.0 if value is None else scalar(value)
    if padded == float(ALMOST_NOTHING):  # of `pad_before_averaging`
        return False
    if padded != 0 or not _is_dequantized(node.inputs[0]):
        return True
    return _has_zero_point(node.inputs[0]) and _may_widen_one(node)


def _has_zero_point(value: ir.Value | None) -> bool:
    """Return whether the zero point of what is dequantized is none, or may be none, of zeros."""
    maker = value.producer() if value is not None else None
    if maker is None or len(maker.inputs) < 3 or (zero := maker.inputs[2]) is None:
        return False
    return zero.const_value is None or bool(np.any(zero.const_value.numpy()))


def _may_widen_one(node: ir.Node) -> bool:
    """Return whether a Pad makes several values of one, along any axis, or may do so."""
    amounts, before = integers(node.inputs[1]), sizes(node.inputs[0])
    if amounts is None or before is None:
        return True
    given = integers(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else None
    axes = range(len(before)) if given is None else given
    added = np.abs(amounts).reshape(2, -1).sum(0)
    return any(
        before[axis] in (1, None) for axis, amount in zip(axes, added, strict=True) if amount
    )


def pools_columns(node: ir.Node) -> bool:
    """Return whether a node pools, in float, what a quantized matrix product makes."""
    if node.op_type not in ("MaxPool", "AveragePool") or node.domain or _is_kept(node):
        return False
    value = node.inputs[0]
    while (made := value.producer() if value is not None else None) is not None:
        if made.op_type in ("MatMul", "Gemm"):
            return any(_is_dequantized(one) for one in made.inputs[:2])
        constant = [one is None or one.const_value is not None for one in made.inputs[1:]]
        if made.domain or made.op_type not in WITH_COLUMNS or not all(constant):
            return False
        value = made.inputs[0]
    return False


def adds_scaled(node: ir.Node) -> bool:
    """Return whether a node adds up floats of three axes, of which channels may have factors.

    What is dequantized right before has one factor for all.
    """
    if node.op_type not in SUMS or node.domain or node.outputs[0].dtype != FLOAT or _is_kept(node):
        return False
    return len(sizes(node.inputs[0]) or range(3)) == 3 and not _is_dequantized(node.inputs[0])


def quantizes_again(node: ir.Node) -> bool:
    """Return whether a node quantizes what a Concat joined and another one has quantized already.

    OpenVINO leaves out what moves nothing, so that they come to stand side by side.
    """
    if node.op_type != "QuantizeLinear":
        return False
    above = node.inputs[0].producer() if node.inputs[0] is not None else None
    again = False
    while above is not None and (above.op_type in PASSING or _may_move_nothing(above)):
        again = again or above.op_type == "QuantizeLinear"
        above = above.inputs[0].producer() if above.inputs[0] is not None else None
    return again and above is not None and above.op_type == "Concat"


def _may_move_nothing(node: ir.Node) -> bool:
    """Return whether a node may leave the values that it moves where they are."""
    if node.op_type not in MOVES or node.domain or len(node.outputs) > 1:
        return False
    before, after = sizes(node.inputs[0]), sizes(node.outputs[0])
    if before is None or after is None:
        return True
    pairs = zip(before, after, strict=False)
    return len(before) == len(after) and all(None in pair or len(set(pair)) < 2 for pair in pairs)


def _is_kept(node: ir.Node) -> bool:
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    return maker is not None and maker.op_type == "Max" and scalar(maker.inputs[1]) == LEAST


SUMS = frozenset({"ReduceMean", "ReduceSum", "GlobalAveragePool"})
PASSING = frozenset({"QuantizeLinear", "DequantizeLinear", "Identity"})
MOVES = TIED - {"MaxPool"}
WITH_COLUMNS = MOVES | {"Mul", "Div", "Neg"}
"""What a dequantization of columns is moved across, beside pools."""

QUANTIZED = (
    steps, has_level_bias, finds_extremes, pads_wrongly, quantizes_again, pools_columns,
    adds_scaled, joins_columns, chooses_constant, repeats_output,
)  # fmt: skip
"""What is wrong only in quantized models."""
