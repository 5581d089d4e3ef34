"""Operators as older opsets spell them, in INT8: attributes that are inputs today, and Upsample."""

from functools import cache

import numpy as np
import pytest
from networks import Builder
from onnx_case import images, static_case
from operator_networks import op, split


def upsample(b, x):
    return b.node("Upsample", [x, b.weight("scales", np.array([1, 1, 2, 2], np.float32))], "op")


def resize_10(b, x):
    return b.node("Resize", [x, b.weight("scales", np.array([1, 1, 2, 2], np.float32))], "op")


def split_2(b, x):
    return b.add("Split", [x], ["op_a", "op_b"], "op", axis=1, split=[3, 5])


SPELLINGS = {
    "upsample": (9, upsample),
    "upsample by attributes": (7, op("Upsample", scales=[1.0, 1.0, 2.0, 2.0], mode="nearest")),
    "resize of opset 10": (10, resize_10),
    "resize of opset 11": (
        11, op("Resize", np.zeros(8, np.float32), np.array([1, 1, 2, 2], np.float32)),
    ),
    "relu6 by attributes": (7, op("Clip", min=0.0, max=6.0)),
    "relu6 by inputs": (11, op("Clip", np.float32(0), np.float32(6))),
    "pad by attributes": (7, op("Pad", pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.5)),
    "slice by attributes": (9, op("Slice", axes=[2], starts=[1], ends=[5])),
    "squeeze by attributes": (
        11,
        lambda b, x: op("Squeeze", axes=[2, 3])(b, b.node("GlobalAveragePool", [x], "g")),
    ),
    "unsqueeze by attributes": (11, op("Unsqueeze", axes=[1])),
    "split by attributes": (11, split_2),
    "split in opset 13": (13, split(3, 5)),
    "mean over space": (9, op("ReduceMean", axes=[2, 3], keepdims=0)),
    "batch normalization": (
        7,
        lambda b, x: b.batch_norm(b.node("MaxPool", [x], "max", kernel_shape=[2, 2]), "op", 8),
    ),
    "sum": (8, lambda b, x: b.node("Sum", [x, x], "op")),
    "hard sigmoid": (
        7, lambda b, x: op("HardSigmoid", alpha=0.5)(b, b.node("Add", [x, x], "twice")),
    ),
    "gemm": (
        9,
        lambda b, x: b.gemm(b.node("Flatten", [x], "flat"), "op", 512, 10),
    ),
    "transposed convolution": (
        7,
        lambda b, x: b.node(
            "ConvTranspose", [x, b.random("op_w", 8, 4, 2, 2, scale=0.3)], "op", strides=[2, 2]
        ),
    ),
}  # fmt: skip


@cache
def case(name):
    opset, write = SPELLINGS[name]
    b = Builder(opset=opset)
    b.opset = opset
    x = b.conv("image", "first", 3, 8)
    made = write(b, x)
    b.opset = opset
    outputs = [made] if isinstance(made, str) else made
    return static_case(b.ending(*outputs, image=["batch", 3, 8, 8]), images())


every_spelling = pytest.mark.parametrize("name", SPELLINGS)


@every_spelling
def test_it_executes_in_int8(name):
    found = case(name)
    (group,) = (group for group in found.graph.groups if "op" in group.ops)

    assert found.audit[group.id].executed == "int8"
    assert found.failures == {}


@every_spelling
def test_it_is_its_reference_and_close_to_float(name):
    for output in case(name).float_outputs:
        assert case(name).steps_from_reference(output) <= 1.001
        assert case(name).sqnr(output) >= 30
