from functools import cache

import numpy as np
import pytest
from networks import Builder
from onnx import helper
from onnx_case import images, optimized, static_case


def integers(b, name, *values):
    return b.weight(name, np.array(values, np.int64))


def pooled(b, x, op, **attributes):
    return b.node(op, [x], "op", kernel_shape=[2, 2], strides=[2, 2], **attributes)


def split(b, x):
    names = ["op_out", "op_rest"]
    b.nodes.append(helper.make_node("Split", [x, integers(b, "at", 3, 5)], names, "op", axis=1))
    return names


def resize(b, x, roi=""):
    scales = b.weight("scales", np.array([1, 1, 2, 2], np.float32))
    return b.node("Resize", [x, roi, scales], "op", mode="nearest")


def bare_conv(b, x, *shape, **attributes):
    return b.node("Conv", [x, b.random("op_w", *shape, scale=0.2)], "op", **attributes)


def gemm(b, x, **attributes):
    shape = (10, 512) if attributes.get("transB") else (512, 10)
    weight = b.random("op_w", *shape, scale=0.05)
    flat = b.node("Flatten", [x], "flat")
    return b.node("Gemm", [flat, weight, b.random("op_b", 10)], "op", **attributes)


# the kernel that ONNX Runtime must be left with, and what follows a convolution of 8 channels
OPERATORS = {
    "conv": ("QLinearConv", lambda b, x: b.conv(x, "op", 8, 4)),
    "conv 1x1": ("QLinearConv", lambda b, x: b.conv(x, "op", 8, 4, k=1)),
    "conv strided": ("QLinearConv", lambda b, x: b.conv(x, "op", 8, 4, stride=2)),
    "conv grouped": ("QLinearConv", lambda b, x: b.conv(x, "op", 8, 16, group=4)),
    "conv depthwise": ("QLinearConv", lambda b, x: b.conv(x, "op", 8, 8, group=8)),
    "conv depthwise 5x5": ("QLinearConv", lambda b, x: b.conv(x, "op", 8, 8, k=5, group=8)),
    "conv without bias": ("QLinearConv", lambda b, x: bare_conv(b, x, 4, 8, 3, 3)),
    "conv dilated": ("QLinearConv", lambda b, x: bare_conv(b, x, 4, 8, 3, 3, dilations=[2, 2])),
    "conv same": (
        "QLinearConv",
        lambda b, x: bare_conv(b, x, 4, 8, 3, 3, auto_pad="SAME_UPPER", strides=[2, 2]),
    ),
    "conv 1-d": (
        "QLinearConv",
        lambda b, x: bare_conv(b, b.reshape(x, "line", 0, 8, 64), 4, 8, 3, pads=[1, 1]),
    ),
    "conv 3-d": (
        "QLinearConv",
        lambda b, x: bare_conv(b, b.reshape(x, "cube", 0, 2, 4, 8, 8), 4, 2, 3, 3, 3),
    ),
    "gemm": ("QGemm", lambda b, x: gemm(b, x)),
    "gemm transB": ("QGemm", lambda b, x: gemm(b, x, transB=1)),
    "add to itself": ("QLinearAdd", lambda b, x: b.node("Add", [x, x], "op")),
    "mul by itself": ("QLinearMul", lambda b, x: b.node("Mul", [x, x], "op")),
    "add a constant": (
        "QLinearAdd",
        lambda b, x: b.node("Add", [x, b.random("c", 1, 1, 8, 8)], "op"),
    ),
    "mul by a constant": (
        "QLinearMul",
        lambda b, x: b.node("Mul", [b.random("c", 8, 8), x], "op"),
    ),
    "mul by a scalar": (
        "QLinearMul",
        lambda b, x: b.node("Mul", [b.node("Sigmoid", [x], "s"), b.random("c")], "op"),
    ),
    "concat": ("QLinearConcat", lambda b, x: b.node("Concat", [x, x], "op", axis=1)),
    "average pool": ("QLinearAveragePool", lambda b, x: pooled(b, x, "AveragePool")),
    "average pool with padding": (
        "QLinearAveragePool",
        lambda b, x: pooled(b, x, "AveragePool", pads=[1, 1, 1, 1], count_include_pad=1),
    ),
    "average pool up": (
        "QLinearAveragePool",
        lambda b, x: pooled(b, x, "AveragePool", ceil_mode=1),
    ),
    "global average pool": (
        "QLinearGlobalAveragePool",
        lambda b, x: b.node("GlobalAveragePool", [x], "op"),
    ),
    "sigmoid": ("QLinearSigmoid", lambda b, x: b.node("Sigmoid", [x], "op")),
    "leaky relu": ("QLinearLeakyRelu", lambda b, x: b.node("LeakyRelu", [x], "op", alpha=0.1)),
    "max pool": ("NhwcMaxPool", lambda b, x: pooled(b, x, "MaxPool")),
    "reshape": ("Reshape", lambda b, x: b.reshape(x, "op", 0, 8, 64)),
    "transpose": ("Transpose", lambda b, x: b.node("Transpose", [x], "op", perm=[0, 1, 3, 2])),
    "flatten": ("Flatten", lambda b, x: b.node("Flatten", [x], "op")),
    "squeeze": (
        "Squeeze",
        lambda b, x: b.node(
            "Squeeze", [b.node("GlobalAveragePool", [x], "g"), integers(b, "axes", 2, 3)], "op"
        ),
    ),
    "unsqueeze": ("Unsqueeze", lambda b, x: b.node("Unsqueeze", [x, integers(b, "at", 1)], "op")),
    "slice": (
        "Slice",
        lambda b, x: b.node(
            "Slice",
            [x, integers(b, "from", 1), integers(b, "to", 5), integers(b, "axes", 2)],
            "op",
        ),
    ),
    "gather": (
        "Gather",
        lambda b, x: b.node("Gather", [x, integers(b, "which", 1, 3)], "op", axis=2),
    ),
    "split": ("Split", split),
    "resize": ("Resize", resize),
    "resize with an empty roi": (
        "Resize",
        lambda b, x: resize(b, x, b.weight("roi", np.array([], np.float32))),
    ),
    "depth to space": ("DepthToSpace", lambda b, x: b.node("DepthToSpace", [x], "op", blocksize=2)),
    "tile": ("Tile", lambda b, x: b.node("Tile", [x, integers(b, "repeats", 1, 1, 2, 1)], "op")),
    "expand": (
        "Expand",
        lambda b, x: b.node(
            "Expand",
            [b.node("GlobalAveragePool", [x], "g"), integers(b, "shape", 1, 8, 4, 4)],
            "op",
        ),
    ),
}
SATURATING = {
    "relu": lambda b, x: b.node("Relu", [x], "op"),
    "clip 0..6": lambda b, x: b.relu6(x, "op"),
    "clip above": lambda b, x: b.node("Clip", [x, "", b.weight("high", np.float32(1))], "op"),
}


@cache
def case(name):
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    made = OPERATORS[name][1](b, x) if name in OPERATORS else SATURATING[name](b, x)
    outputs = [made] if isinstance(made, str) else made
    return static_case(b.ending(*outputs, image=["batch", 3, 8, 8]), images())


every_operator = pytest.mark.parametrize("name", [*OPERATORS, *SATURATING])


@every_operator
def test_it_is_offered_and_executed_in_int8(name):
    executed = {group: entry.executed for group, entry in case(name).audit.items()}

    assert executed == dict.fromkeys(case(name).graph.group_by_id, "int8")


@pytest.mark.parametrize("name", OPERATORS)
def test_onnx_runtime_is_left_with_the_integer_kernel(name):
    assert OPERATORS[name][0] in optimized(case(name).built)


@pytest.mark.parametrize("name", SATURATING)
def test_a_saturating_activation_leaves_no_kernel(name):
    kinds = optimized(case(name).built)

    assert not {"Relu", "Clip"} & set(kinds)


@every_operator
def test_int8_is_the_reference_within_one_step(name):
    for output in case(name).float_outputs:
        assert case(name).steps_from_reference(output) <= 1.001


@every_operator
def test_int8_is_close_to_float(name):
    for output in case(name).float_outputs:
        assert case(name).sqnr(output) >= 30


@every_operator
def test_int8_is_not_float(name):
    for output, values in case(name).float_outputs.items():
        assert not np.allclose(values, case(name).int8_outputs[output], rtol=1e-5, atol=1e-6)


@every_operator
def test_an_output_holds_at_most_256_values(name):
    for values in case(name).int8_outputs.values():
        assert len(np.unique(values)) <= 256
