"""Every operator that ONNX Runtime has an INT8 form of, in OpenVINO between two convolutions.

What is offered executes on integers, as the runtime graph tells, and is the QDQ graph in float
within two integer steps: of the operator's rounding and of what feeds it. What OpenVINO would run
in float is refused with a reason.
"""

from functools import cache

import pytest
from networks import Builder
from onnx_case import NO_VNNI, TARGET, VNNI, images, noise, rows
from openvino_case import BACKEND, int8_case, relative_error
from operator_networks import (
    CONVOLUTIONS,
    MOVING,
    PRODUCTS,
    RESCALING,
    SATURATING,
    conv,
    transposed,
)

from octavo.backends.openvino.options import SATURATED

WRITERS = {
    **CONVOLUTIONS,
    **PRODUCTS,
    **{name: write for name, (_, write) in (RESCALING | MOVING).items()},
    **SATURATING,
}
TWO_TENSORS = (
    "matmul of two tensors",
    "einsum of two tensors",
    "gemm of computed matrices",
    "gemm of computed matrices, scaled",
)
REFUSED = {
    "conv 3-d depthwise": "OpenVINO runs a grouped convolution in three dimensions in float",
    **dict.fromkeys(
        ("transposed, kernel below stride", "transposed, uneven"),
        "OpenVINO's INT8 ConvTranspose is not right for this kernel and stride",
    ),
    **dict.fromkeys(
        ("transposed in groups", "transposed depthwise", "transposed 1-d", "transposed 3-d"),
        "OpenVINO runs a ConvTranspose in float that has groups or other than two dimensions",
    ),
    "average pool with padding": (
        "OpenVINO would count padding as the integer 0, which is not the zero point"
    ),
    "average pool dilated": "OpenVINO runs a dilated AveragePool in float",
    **dict.fromkeys(
        ("hard sigmoid", "hard sigmoid of other slope", "hard sigmoid as torch"),
        "OpenVINO computes HardSigmoid in float",
    ),
    "max pool dilated": "OpenVINO runs a dilated MaxPool in float",
    "resize 1-d": "OpenVINO resizes a line of values in float",
    "space to depth": "OpenVINO computes SpaceToDepth in float",
    **dict.fromkeys(
        ("pad", "pad channels", "pad with a number", "pad two axes"),
        "OpenVINO pads with a number in float",
    ),
    "tile": "OpenVINO computes Tile in float",
    **(dict.fromkeys(TWO_TENSORS, SATURATED) if TARGET.cpu.saturates else {}),
}
ONE_SIDE_ROUNDED = {"add"}
"""OpenVINO adds what a convolution has not rounded yet: the audit says that it is no integer."""
IN_FLOAT_WITH = {
    "gemm of computed matrices": ("op.biased",),
    "gemm of computed matrices, scaled": ("op.biased", "op.bias.scaled"),
}
"""What stays float with an operator that is refused, as every plan of Octavo's has it."""
AT_THE_END = {
    "add one number",
    "concat",
    "concat of one tensor",
    "mul by itself",
    "mul by one number",
    "sigmoid",
}
"""Operators that are computed with the dequantization behind them where no other reads integers."""


@cache
def case(name):
    b = Builder()
    made = WRITERS[name](b, b.conv("image", "first", 3, 8))
    if name in AT_THE_END:
        made = b.conv(made, "last", 16 if name.startswith("concat") else 8, 8)
    outputs = [made] if isinstance(made, str) else made
    kept = IN_FLOAT_WITH.get(name, ()) if name in REFUSED else ()
    return int8_case(b.ending(*outputs, image=["batch", 3, 8, 8]), images(), *kept)


def group_of(name):
    (group,) = (group for group in case(name).graph.groups if "op" in group.ops)
    return group


offered = pytest.mark.parametrize("name", [name for name in WRITERS if name not in REFUSED])


@offered
def test_what_is_offered_executes_on_integers(name):
    wanted = "fp32" if name in ONE_SIDE_ROUNDED else "int8"

    assert group_of(name).formats
    assert case(name).audit[group_of(name).id].executed == wanted
    assert all(case(name).failures.values())


@offered
def test_int8_is_the_reference_within_two_steps(name):
    found = case(name)
    for output, expected in found.reference_outputs.items():
        if output in found.ranges:
            assert found.steps_from_reference(output) <= 2.001
        else:
            assert relative_error(expected, found.int8_outputs[output]) <= 1e-5


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_and_executes_in_float(name):
    assert group_of(name).refusal == REFUSED[name]
    assert group_of(name).formats == ()
    assert case(name).audit[group_of(name).id].executed == "fp32"
    assert case(name).audit["first"].executed == "int8"
    assert case(name).failures == {}


@pytest.mark.parametrize("name", TWO_TENSORS)
@pytest.mark.parametrize(("target", "refusal"), [(VNNI, None), (NO_VNNI, SATURATED)])
def test_two_tensors_are_multiplied_as_integers_with_vnni_only(name, target, refusal):
    graph = BACKEND.graph(case(name).model, target)
    (group,) = (group for group in graph.groups if "op" in group.ops)

    assert (group.refusal, bool(group.formats)) == (refusal, refusal is None)


def joined(axis, behind):
    b = Builder()
    parts = [b.conv("image", name, 3, 8) for name in ("left", "right")]
    x = b.node("Concat", parts, "join", axis=axis)
    return int8_case(b.ending(behind(b, x), image=["batch", 3, 8, 8]), images())


@pytest.mark.parametrize("axis", [2, 3, -1])
def test_a_convolution_that_reads_joined_rows_or_columns_is_refused(axis):
    found = joined(axis, lambda b, x: b.conv(x, "op", 8, 8))

    reason = "OpenVINO runs a convolution in float that reads joined rows or columns"
    assert found.graph.group_by_id["op"].refusal == reason
    assert found.audit["op"].executed == "fp32"


@pytest.mark.parametrize("axis", [1, -3])
def test_a_convolution_that_reads_joined_channels_executes_in_int8(axis):
    found = joined(axis, lambda b, x: b.conv(x, "op", 16, 8))

    assert found.failures == {}
    assert found.audit["op"].executed == "int8"


@pytest.mark.parametrize("axis", [1, 2])
def test_a_join_before_a_transposed_convolution_is_refused_and_that_executes_in_int8(axis):
    channels = 16 if axis == 1 else 8

    found = joined(axis, transposed(channels, 4, 2, 2, strides=[2, 2]))

    reason = "OpenVINO quantizes it for the ConvTranspose behind it"
    assert found.graph.group_by_id["join"].refusal == reason
    assert found.audit["op"].executed == "int8"
    assert found.reference_sqnr("op_out") > 60


@pytest.mark.parametrize("padding", [[1, 0], [0, 1]])
def test_a_transposed_convolution_is_refused_whose_output_is_padded_on_one_side(padding):
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    y = transposed(8, 4, 3, 3, strides=[2, 2], pads=[0, 1, 1, 0], output_padding=padding)(b, x)
    found = int8_case(b.ending(y, image=["batch", 3, 8, 8]), images())

    reason = "OpenVINO's INT8 ConvTranspose is not right for this kernel and stride"
    assert found.graph.group_by_id["op"].refusal == reason


@pytest.mark.parametrize(("channels", "offered"), [(2, False), (3, False), (4, True)])
def test_a_grouped_convolution_of_few_channels_that_become_several_is_refused(channels, offered):
    b = Builder()
    x = b.conv("image", "first", 3, channels)
    y = conv(2 * channels, 1, 1, 2, group=channels)(b, x)
    found = int8_case(b.ending(y, image=["batch", 3, 8, 8]), images())

    group = found.graph.group_by_id["op"]
    assert bool(group.formats) == offered
    assert offered or group.refusal == "OpenVINO's INT8 of so few channels in groups is not right"
    assert found.reference_sqnr(y) > 60


def test_a_recurrent_operator_is_refused():
    b = Builder()
    weights = [b.random("w", 1, 16, 8, scale=0.3), b.random("r", 1, 16, 4, scale=0.3)]
    b.add("LSTM", ["steps", *weights], ["states"], "op", hidden_size=4)
    batch = {"steps": noise(5, 2, 8)}

    found = int8_case(b.ending("states", steps=[5, 2, 8]), batch)

    assert found.graph.group_by_id["op"].refusal == "OpenVINO runs a quantized LSTM in float"


def test_dynamic_quantization_is_refused_with_its_reason():
    b = Builder()
    found = int8_case(b.ending(b.gemm("rows", "op", 16, 8), rows=["batch", 16]), rows())

    (dynamic,) = (
        one for one in found.graph.group_by_id["op"].options if one.format.compute == "int8_dynamic"
    )
    assert dynamic.refused == "OpenVINO runs DynamicQuantizeLinear and MatMulInteger in float"


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_small_average_is_in_int8_only_of_enough_channels(channels):
    b = Builder()
    x = b.conv("image", "first", 3, channels)
    y = b.node("AveragePool", [x], "op", kernel_shape=[3, 2], strides=[2, 1])
    made = int8_case(b.ending(y, image=["batch", 3, 4, 4]), {"image": noise(2, 3, 4, 4)})

    assert (made.graph.group_by_id["op"].refusal is None) is (channels == 4)
    assert made.audit["first"].executed == "int8"
    (output,) = made.graph.outputs
    assert relative_error(made.reference_outputs[output], made.int8_outputs[output]) < 0.01


@pytest.mark.parametrize(
    ("op", "attributes"), [("Softmax", {}), ("Transpose", {"perm": [0, 2, 1]}), ("Erf", {})]
)
def test_a_product_with_a_vector_is_told_from_what_reshapes_it(op, attributes):
    """OpenVINO calls the product by a number; an operator behind has the name of its result."""
    b = Builder()
    x = b.node("Relu", ["image"], "act")
    product = b.node("MatMul", [x, b.random("w", 8)], "product")
    y = b.node(op, [product], "op", **attributes)
    batch, shape = images(), ["batch", 3, 8, 8]
    found = int8_case(b.ending(x, y, image=shape), batch, "act", "op", "product.squeezed")

    assert found.failures == {}
    assert found.audit["product"].executed == "int8"
    assert "FullyConnected" in found.audit["product"].kernels
    assert found.audit["product.squeezed"].executed == "fp32"
