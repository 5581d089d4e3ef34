"""Operators that stay in float between quantized convolutions, each with its reason."""

from functools import cache

import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import images, static_case
from operator_networks import op, random

NO_KERNEL = "ONNX Runtime has no INT8 kernel for {}"


def typed(write):
    """Return a writer whose output has a type that onnx infers, which it does not for all."""

    def write_typed(b, x):
        return b.reshape(b.node("Cast", [write(b, x)], "typed", to=TensorProto.FLOAT), "flat", -1)

    return write_typed


def microsoft(kind, *extra, **attributes):
    def write(b, x):
        others = [x] * len(extra)
        return b.node(kind, [x, *others], "op", domain="com.microsoft", **attributes)

    return typed(write)


def several(kind, inputs, outputs, **attributes):
    """Return a writer of a node whose second output nobody reads, as it is no float."""

    def write(b, x):
        given = [x, *(b.weight(f"op_{i}", value) for i, value in enumerate(inputs))]
        names = [f"op_{name}" for name in outputs]
        b.nodes.append(helper.make_node(kind, given, names, "op", **attributes))
        return names[0]

    return write


def cast_back(kind, **attributes):
    """Return a writer of a node that makes indices, cast to float."""

    def write(b, x):
        return b.node("Cast", [b.node(kind, [x], "op", **attributes)], "cast", to=TensorProto.FLOAT)

    return write


def resized(mode):
    scales = np.array([1, 1, 2, 2], np.float32)
    return op("Resize", None, scales, mode=mode)


REFUSED = {
    **{kind: (NO_KERNEL.format(kind), op(kind)) for kind in (
        "Tanh", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Erf", "Exp", "Neg", "Abs",
        "ThresholdedRelu", "GlobalMaxPool", "GlobalLpPool",
    )},
    "Mish": (NO_KERNEL.format("Mish"), op("Mish", opset=18)),
    "Sqrt": (NO_KERNEL.format("Sqrt"), lambda b, x: op("Sqrt")(b, b.node("Relu", [x], "r"))),
    "Pow": (NO_KERNEL.format("Pow"), op("Pow", np.float32(2))),
    "Gelu": (NO_KERNEL.format("Gelu"), op("Gelu", opset=20)),
    "LayerNormalization": (
        NO_KERNEL.format("LayerNormalization"), op("LayerNormalization", random(8), random(8)),
    ),
    "InstanceNormalization": (
        NO_KERNEL.format("InstanceNormalization"),
        op("InstanceNormalization", random(8), random(8)),
    ),
    "GroupNormalization": (
        NO_KERNEL.format("GroupNormalization"),
        typed(op("GroupNormalization", random(8), random(8), opset=21, num_groups=2)),
    ),
    "LRN": (NO_KERNEL.format("LRN"), op("LRN", size=3)),
    "CumSum": (NO_KERNEL.format("CumSum"), op("CumSum", np.int64(2))),
    "LogSoftmax": (NO_KERNEL.format("LogSoftmax"), op("LogSoftmax", axis=1)),
    "Softmax": ("QLinearSoftmax is about 8 times slower than the float kernel", op("Softmax")),
    "ArgMax": (
        "ONNX Runtime's ArgMax is slower on integers than in float",
        cast_back("ArgMax", axis=1),
    ),
    "TopK": (
        "ONNX Runtime has no INT8 TopK worth using, and indices need exact values",
        several("TopK", [np.array([4], np.int64)], ["values", "indices"]),
    ),
    "Where": (
        "QLinearWhere is slower than the float kernel",
        lambda b, x: b.node("Where", [b.weight("m", np.arange(8) % 2 == 0), x, x], "op"),
    ),
    "ReduceMax": (
        "ONNX Runtime's ReduceMax is hardly faster on integers",
        op("ReduceMax", axes=[2, 3]),
    ),
    "ReduceMean of channels": (NO_KERNEL.format("ReduceMean"), op("ReduceMean", axes=[1])),
    "GatherElements": (
        "ONNX Runtime's GatherElements is no faster on integers",
        op("GatherElements", np.zeros((4, 8, 8, 2), np.int64), axis=3),
    ),
    "Sub": (
        "ONNX Runtime has no INT8 Sub of two tensors",
        lambda b, x: b.node("Sub", [x, b.node("Sigmoid", [x], "s")], "op"),
    ),
    "Div": ("ONNX Runtime has no INT8 Div",
            lambda b, x: b.node("Div", [x, b.node("Sigmoid", [x], "s")], "op")),
    "Einsum": (
        "ONNX Runtime has no INT8 Einsum, and it is no product of two matrices",
        lambda b, x: b.node("Einsum", [x, x], "op", equation="bchw,bcdw->bhd"),
    ),
    "PRelu": ("ONNX Runtime has no INT8 PRelu with a slope per channel",
              op("PRelu", random(8, 1, 1))),
    "BatchNormalization of rows": (
        "ONNX Runtime has no INT8 BatchNormalization, and it follows no convolution or Gemm that "
        "it could be folded into",
        lambda b, x: b.batch_norm(b.node("Flatten", [x], "flat"), "op", 512),
    ),
    "linear Resize": ("ONNX Runtime resizes integers only by nearest neighbour", resized("linear")),
    "cubic Resize": ("ONNX Runtime resizes integers only by nearest neighbour", resized("cubic")),
    "FusedMatMul": (
        "FusedMatMul is an operator of com.microsoft, which is taken as it is",
        microsoft("FusedMatMul", "second", transB=1),
    ),
    "Gelu of Microsoft": (
        "Gelu is an operator of com.microsoft, which is taken as it is", microsoft("Gelu"),
    ),
}  # fmt: skip


@cache
def case(name):
    b = Builder()
    made = REFUSED[name][1](b, b.conv("image", "first", 3, 8))
    return static_case(b.ending(made, image=[4, 3, 8, 8]), images())


every_operator = pytest.mark.parametrize("name", REFUSED)


@every_operator
def test_it_is_refused_with_its_reason(name):
    assert case(name).graph.group_by_id["op"].refusal == REFUSED[name][0]


@every_operator
def test_it_executes_in_float_behind_an_integer_convolution(name):
    executed = {group: entry.executed for group, entry in case(name).audit.items()}

    assert (executed["first"], executed["op"]) == ("int8", "fp32")
    assert case(name).failures == {}


@every_operator
def test_the_model_is_its_reference(name):
    (output,) = case(name).float_outputs

    assert case(name).reference_sqnr(output) >= 60
