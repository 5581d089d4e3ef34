"""Every operator that has an INT8 form, in its variants, behind a convolution of 8 channels.

An entry is the kernel that ONNX Runtime must be left with, and what writes the operator: it gets a
builder and a tensor [batch, 8, 8, 8] and returns the output, or several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from networks import Builder
from onnx import helper

Write: TypeAlias = Callable[[Builder, str], "str | list[str]"]


def integers(b, name, *values):
    return b.weight(name, np.array(values, np.int64))


def op(kind, *constants, opset=17, **attributes):
    """Return a writer of one node; each constant is a value, or None for an input left out."""

    def write(b, x):
        b.opset = max(b.opset, opset)
        given = [
            "" if value is None else b.weight(f"op_{index}", value)
            for index, value in enumerate(constants)
        ]
        return b.node(kind, [x, *given], "op", **attributes)

    return write


def random(*shape, scale=1.0):
    return (np.random.default_rng(1).normal(size=shape) * scale).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def conv(*shape, before=None, bias=True, **attributes):
    """Return a writer of a convolution with a random weight, behind what `before` writes."""

    def write(b, x):
        x = before(b, x) if before is not None else x
        weight = b.random("op_w", *shape, scale=float(np.prod(shape[1:])) ** -0.5)
        operands = [weight, b.random("op_b", shape[0])] if bias else [weight]
        return b.node("Conv", [x, *operands], "op", **attributes)

    return write


def transposed(*shape, before=None, bias=True, **attributes):
    """Return a writer of a ConvTranspose with a random weight."""

    def write(b, x):
        x = before(b, x) if before is not None else x
        weight = b.random("op_w", *shape, scale=float(shape[0]) ** -0.5)
        outputs = shape[1] * attributes.get("group", 1)
        operands = [weight, b.random("op_b", outputs)] if bias else [weight]
        return b.node("ConvTranspose", [x, *operands], "op", **attributes)

    return write


def shaped(*shape):
    return lambda b, x: b.reshape(x, f"as_{len(shape)}d", *shape)


LINE = shaped(0, 8, 64)
CUBE = shaped(0, 8, 4, 4, 4)
WIDE_CUBE = shaped(0, 16, 2, 4, 4)

CONVOLUTIONS: dict[str, Write] = {
    "conv": conv(4, 8, 3, 3, pads=[1] * 4),
    "conv 1x1": conv(4, 8, 1, 1),
    "conv strided": conv(4, 8, 3, 3, strides=[2, 2], pads=[1] * 4),
    "conv of uneven stride and padding": conv(4, 8, 3, 3, strides=[2, 1], pads=[0, 1, 2, 1]),
    "conv without bias": conv(4, 8, 3, 3, bias=False),
    "conv with a kernel_shape": conv(4, 8, 3, 5, kernel_shape=[3, 5]),
    "conv dilated": conv(4, 8, 3, 3, dilations=[2, 2]),
    "conv SAME_UPPER": conv(4, 8, 3, 3, auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv SAME_LOWER": conv(4, 8, 2, 2, auto_pad="SAME_LOWER"),
    "conv VALID": conv(4, 8, 3, 3, auto_pad="VALID"),
    "conv in four groups": conv(16, 2, 3, 3, pads=[1] * 4, group=4),
    "conv in two groups": conv(6, 4, 3, 3, group=2),
    "conv depthwise": conv(8, 1, 3, 3, pads=[1] * 4, group=8),
    "conv depthwise 5x5": conv(8, 1, 5, 5, pads=[2] * 4, group=8),
    "conv depthwise dilated": conv(8, 1, 3, 3, dilations=[2, 2], group=8),
    "conv depthwise of two outputs": conv(16, 1, 3, 3, group=8),
    "conv 1-d": conv(4, 8, 3, before=LINE, pads=[1, 1]),
    "conv 1-d dilated": conv(4, 8, 3, before=LINE, dilations=[4]),
    "conv 1-d depthwise": conv(8, 1, 7, before=LINE, group=8, pads=[3, 3]),
    "conv 1-d in groups": conv(8, 4, 3, before=LINE, group=2),
    "conv 1-d SAME_UPPER": conv(4, 8, 3, before=LINE, auto_pad="SAME_UPPER", strides=[2]),
    "conv 3-d": conv(4, 16, 2, 3, 3, before=WIDE_CUBE),
    "conv 3-d padded": conv(4, 16, 3, 3, 3, before=WIDE_CUBE, pads=[1] * 6, strides=[1, 2, 2]),
    "conv 3-d depthwise": conv(8, 1, 3, 3, 3, before=CUBE, group=8),
    "conv of three channels": lambda b, x: conv(4, 3, 3, 3)(b, b.conv(x, "three", 8, 3)),
    "conv of three channels 1-d": lambda b, x: conv(4, 3, 3)(
        b, b.reshape(b.conv(x, "three", 8, 3), "line", 0, 3, 64)
    ),
    "transposed, stride 1": transposed(8, 4, 3, 3, pads=[1] * 4),
    "transposed, kernel as stride": transposed(8, 4, 2, 2, strides=[2, 2]),
    "transposed 3x3": transposed(8, 4, 3, 3, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]),
    "transposed 4x4": transposed(8, 4, 4, 4, strides=[2, 2], pads=[1] * 4),
    "transposed, kernel below stride": transposed(8, 4, 2, 2, strides=[3, 3]),
    "transposed, uneven": transposed(8, 4, 3, 5, strides=[2, 3], pads=[1, 2, 0, 1]),
    "transposed, much cut off": transposed(8, 4, 5, 5, strides=[2, 2], pads=[3, 4, 3, 4]),
    "transposed without bias": transposed(8, 4, 2, 2, strides=[2, 2], bias=False),
    "transposed in groups": transposed(8, 3, 4, 4, strides=[2, 2], group=4, pads=[1] * 4),
    "transposed depthwise": transposed(8, 1, 4, 4, strides=[2, 2], group=8, pads=[1] * 4),
    "transposed 1-d": transposed(8, 4, 8, before=LINE, strides=[4], pads=[2, 2]),
    "transposed 3-d": transposed(8, 4, 2, 3, 2, before=CUBE, strides=[2, 1, 2]),
}


def gemm(**attributes):
    """Return a writer of a Gemm on rows of 512, with a bias of the shape `bias`, None without."""
    bias = attributes.pop("bias", (10,))

    def write(b, x):
        shape = (10, 512) if attributes.get("transB") else (512, 10)
        flat = b.node("Flatten", [x], "flat")
        if attributes.get("transA"):
            flat = b.node("Transpose", [flat], "turned", perm=[1, 0])
        operands = [b.random("op_w", *shape, scale=0.05)]
        operands += [b.random("op_b", *bias)] if bias is not None else []
        return b.node("Gemm", [flat, *operands], "op", **attributes)

    return write


def matmul(*shape, scale=0.3, **attributes):
    return lambda b, x: b.node("MatMul", [x, b.random("op_w", *shape, scale=scale)], "op")


def constant_first(*shape):
    return lambda b, x: b.node("MatMul", [b.random("op_w", *shape, scale=0.3), x], "op")


def by_itself(b, x):
    turned = b.node("Transpose", [x], "turned", perm=[0, 1, 3, 2])
    return b.node("MatMul", [x, turned], "op")


def computed_gemm(**attributes):
    """Return a writer of a Gemm of two computed matrices [8, 64] with a computed bias."""

    def write(b, x):
        rows = b.reshape(b.node("Slice", [x, *bounds(b)], "one"), "rows", 8, 64)
        other = rows if attributes.get("transB") else b.node("Transpose", [rows], "t", perm=[1, 0])
        bias = b.node("ReduceMax", [rows], "bias", axes=[1], keepdims=1)
        return b.node("Gemm", [rows, other, bias], "op", **attributes)

    return write


def bounds(b):
    return [integers(b, "from", 0), integers(b, "to", 1), integers(b, "axis", 0)]


INTEGER_PRODUCTS = {"QGemm", "QLinearMatMul", "MatMulIntegerToFloat"}
PRODUCTS: dict[str, Write] = {
    "gemm": gemm(),
    "gemm transB": gemm(transB=1),
    "gemm transA": gemm(transA=1),
    "gemm without bias": gemm(bias=None),
    "gemm of a scalar bias": gemm(bias=()),
    "gemm of one bias": gemm(bias=(1,)),
    "gemm of a bias with two axes": gemm(bias=(1, 10)),
    "gemm of a bias a row": gemm(bias=(4, 1)),
    "gemm of a full bias": gemm(bias=(4, 10)),
    "gemm alpha": gemm(alpha=0.5),
    "gemm beta": gemm(beta=-2.0),
    "gemm alpha and beta": gemm(alpha=0.5, beta=3.0, transB=1),
    "gemm beta of a full bias": gemm(beta=0.5, bias=(4, 10)),
    "gemm of computed matrices": computed_gemm(),
    "gemm of computed matrices, scaled": computed_gemm(transB=1, alpha=0.25, beta=2.0),
    "matmul": matmul(8, 6),
    "matmul of one column": matmul(8, 1),
    "matmul with a vector": matmul(8),
    "matmul in batches": matmul(8, 8, 6),
    "matmul in one batch": matmul(1, 8, 6),
    "matmul of two tensors": by_itself,
    "matmul with bias": lambda b, x: b.linear(x, "op", 8, 6),
    "matmul of a constant first": constant_first(6, 8),
    "einsum with a weight": lambda b, x: b.node(
        "Einsum", [x, b.random("op_w", 6, 8, scale=0.3)], "op", equation="bchw,dw->bchd"
    ),
    "einsum of two tensors": lambda b, x: b.node(
        "Einsum", [x, x], "op", equation="bchw,bcdw->bhcd"
    ),
}


def constant_pool(kind, **attributes):
    return op(kind, kernel_shape=[2, 2], **attributes)


def joined(b, x):
    return b.node("Concat", [x, b.node("Sigmoid", [x], "other")], "op", axis=1)


def mean(*axes, opset=17, **attributes):
    """Return a writer of a ReduceMean, whose axes are an input from opset 18."""
    if opset >= 18:
        return op("ReduceMean", ints(*axes), opset=opset, **attributes)
    return op("ReduceMean", opset=opset, axes=list(axes), **attributes)


RESCALING: dict[str, tuple[str, Write]] = {
    "add": ("QLinearAdd", lambda b, x: b.node("Add", [x, b.conv(x, "second", 8, 8)], "op")),
    "add to itself": ("QLinearAdd", lambda b, x: b.node("Add", [x, x], "op")),
    "add a constant": ("QLinearAdd", op("Add", random(1, 1, 8, 8))),
    "add one number": (
        "QLinearAdd",
        lambda b, x: op("Add", np.float32(1.5))(b, b.node("Sigmoid", [x], "s")),
    ),
    "sum of two": ("QLinearAdd", lambda b, x: b.node("Sum", [x, x], "op")),
    "subtract a constant": ("QLinearAdd", op("Sub", random(8, 8))),
    "mul by itself": ("QLinearMul", lambda b, x: b.node("Mul", [x, x], "op")),
    "mul by a constant": (
        "QLinearMul",
        lambda b, x: b.node("Mul", [b.random("c", 8, 8), x], "op"),
    ),
    "mul by one number": (
        "QLinearMul",
        lambda b, x: op("Mul", np.float32(1.5))(b, b.node("Sigmoid", [x], "s")),
    ),
    "swish": ("QLinearMul", lambda b, x: b.node("Mul", [x, b.node("Sigmoid", [x], "s")], "op")),
    "concat": ("QLinearConcat", joined),
    "concat of one tensor": (
        "QLinearConcat",
        lambda b, x: b.node("Concat", [x, x], "op", axis=1),
    ),
    "average pool": ("QLinearConv", constant_pool("AveragePool", strides=[2, 2])),
    "average pool with padding": (
        "QLinearConv",
        constant_pool("AveragePool", pads=[1] * 4, count_include_pad=1),
    ),
    "average pool VALID": ("QLinearConv", constant_pool("AveragePool", auto_pad="VALID")),
    "average pool dilated": (
        "QLinearConv",
        constant_pool("AveragePool", dilations=[2, 2], opset=19),
    ),
    "average pool 1-d": (
        "QLinearConv",
        lambda b, x: op("AveragePool", kernel_shape=[3], strides=[2])(b, LINE(b, x)),
    ),
    "average pool 3-d": (
        "QLinearConv",
        lambda b, x: op("AveragePool", kernel_shape=[2, 2, 2])(b, CUBE(b, x)),
    ),
    "average pool over all": (
        "QLinearGlobalAveragePool",
        op("AveragePool", kernel_shape=[8, 8]),
    ),
    "global average pool": ("QLinearGlobalAveragePool", op("GlobalAveragePool")),
    "global average pool 1-d": (
        "QLinearGlobalAveragePool",
        lambda b, x: op("GlobalAveragePool")(b, LINE(b, x)),
    ),
    "global average pool 3-d": (
        "QLinearGlobalAveragePool",
        lambda b, x: op("GlobalAveragePool")(b, CUBE(b, x)),
    ),
    "mean over space": ("QLinearGlobalAveragePool", mean(2, 3)),
    "mean over space, axes last first": ("QLinearGlobalAveragePool", mean(-1, -2)),
    "mean over space without axes": ("QLinearGlobalAveragePool", mean(2, 3, keepdims=0)),
    "mean over space, axes as input": ("QLinearGlobalAveragePool", mean(2, 3, opset=18)),
    "mean over space, axes as input, without axes": (
        "QLinearGlobalAveragePool",
        mean(-2, -1, opset=18, keepdims=0),
    ),
    "mean over a line": (
        "QLinearGlobalAveragePool",
        lambda b, x: mean(2)(b, LINE(b, x)),
    ),
    "sigmoid": ("QLinearSigmoid", op("Sigmoid")),
    "leaky relu": ("QLinearLeakyRelu", op("LeakyRelu", alpha=0.1)),
    "prelu of one slope": ("QLinearLeakyRelu", op("PRelu", random(1))),
    "hard sigmoid": (
        "QLinearAdd",
        lambda b, x: op("HardSigmoid")(b, b.node("Add", [x, x], "twice")),
    ),
    "hard sigmoid of other slope": (
        "QLinearAdd",
        lambda b, x: op("HardSigmoid", alpha=0.5, beta=-0.25)(b, b.node("Add", [x, x], "twice")),
    ),
    "hard sigmoid as torch": (
        "QLinearAdd",
        lambda b, x: op("HardSigmoid", alpha=1 / 6)(b, b.node("Add", [x, x], "twice")),
    ),
    "hard swish": ("QLinearMul", op("HardSwish")),
    "batch normalization behind a pool": (
        "QLinearConv",
        lambda b, x: b.batch_norm(constant_max(b, x), "op", 8),
    ),
}


def constant_max(b, x):
    return b.node("MaxPool", [x], "max", kernel_shape=[2, 2])


def split(*sizes, axis=1):
    def write(b, x):
        names = [f"op_{index}" for index in range(len(sizes))]
        at = integers(b, "at", *sizes)
        b.nodes.append(helper.make_node("Split", [x, at], names, "op", axis=axis))
        return names

    return write


def resize(scales=(1, 1, 2, 2), sizes=None, roi=False, opset=13, **attributes):
    """Return a writer of a nearest Resize, by scales or by sizes."""

    def write(b, x):
        b.opset = max(b.opset, opset)
        region = b.weight("roi", np.array([], np.float32)) if roi else ""
        given = [region, b.weight("scales", np.array(scales, np.float32))]
        if sizes is not None:
            given = [region, "", integers(b, "sizes", *sizes)]
        return b.node("Resize", [x, *given], "op", **attributes)

    return write


def pixel_shuffle(b, x):
    return op("DepthToSpace", blocksize=2, mode="CRD")(b, b.conv(x, "wide", 8, 16))


MOVING: dict[str, tuple[str, Write]] = {
    "max pool": ("NhwcMaxPool", op("MaxPool", kernel_shape=[2, 2], strides=[2, 2])),
    "max pool padded": ("NhwcMaxPool", op("MaxPool", kernel_shape=[3, 3], pads=[1] * 4)),
    "max pool up": (
        "NhwcMaxPool",
        op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    ),
    "max pool dilated": ("NhwcMaxPool", op("MaxPool", kernel_shape=[2, 2], dilations=[2, 2])),
    "reshape": ("Reshape", op("Reshape", ints(0, 8, 64))),
    "transpose": ("Transpose", op("Transpose", perm=[0, 1, 3, 2])),
    "flatten": ("Flatten", op("Flatten")),
    "squeeze": (
        "Squeeze",
        lambda b, x: op("Squeeze", ints(2, 3))(b, b.node("GlobalAveragePool", [x], "g")),
    ),
    "unsqueeze": ("Unsqueeze", op("Unsqueeze", ints(1))),
    "slice": ("Slice", op("Slice", ints(1), ints(5), ints(2))),
    "slice in steps": ("Slice", op("Slice", ints(0), ints(8), ints(3), ints(2))),
    "slice backwards": ("Slice", op("Slice", ints(-1), ints(-9), ints(2), ints(-1))),
    "gather": ("Gather", op("Gather", ints(1, 3), axis=2)),
    "split": ("Split", split(3, 5)),
    "split in three, by rows": ("Split", split(2, 2, 4, axis=2)),
    "resize": ("Resize", resize()),
    "resize with an empty roi": ("Resize", resize(roi=True)),
    "resize to sizes": (
        "Resize",
        lambda b, x: resize(sizes=(4, 8, 16, 16))(b, b.reshape(x, "fixed", 4, 8, 8, 8)),
    ),
    "resize asymmetric": (
        "Resize",
        resize(coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    ),
    "resize of uneven factors": ("Resize", resize(scales=(1, 1, 2, 3))),
    "resize by a fraction": (
        "Resize",
        resize(scales=(1, 1, 1.5, 1.5), coordinate_transformation_mode="asymmetric"),
    ),
    "resize down": ("Resize", resize(scales=(1, 1, 0.5, 0.5))),
    "resize of two axes": ("Resize", resize(scales=(2, 2), opset=18, axes=[2, 3])),
    "resize in opset 19": ("Resize", resize(opset=19)),
    "resize 1-d": ("Resize", lambda b, x: resize(scales=(1, 1, 2))(b, LINE(b, x))),
    "depth to space": ("Transpose", op("DepthToSpace", blocksize=2)),
    "pixel shuffle": ("Transpose", pixel_shuffle),
    "depth to space, mode CRD": (
        "DepthToSpace",
        lambda b, x: op("DepthToSpace", blocksize=2, mode="CRD")(b, constant_max(b, x)),
    ),
    "space to depth": ("SpaceToDepth", op("SpaceToDepth", blocksize=2)),
    "pad": ("Pad", op("Pad", ints(0, 0, 1, 2, 0, 0, 0, 1))),
    "pad channels": ("Pad", op("Pad", ints(0, 0, 0, 0, 0, 2, 0, 0))),
    "pad with a number": ("Pad", op("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(0.75))),
    "pad edges": ("Pad", op("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), mode="edge")),
    "pad mirrored": ("Pad", op("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")),
    "pad mirrored, with a number": (
        "Pad",
        op("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(0.5), mode="reflect"),
    ),
    "pad mirrored, two axes": (
        "Pad",
        op("Pad", ints(1, 2, 1, 0), None, ints(-1, -2), opset=18, mode="reflect"),
    ),
    "pad two axes": ("Pad", op("Pad", ints(1, 2, 3, 0), None, ints(2, 3), opset=18)),
    "tile": ("Tile", op("Tile", ints(1, 1, 2, 1))),
    "expand": (
        "Expand",
        lambda b, x: op("Expand", ints(1, 8, 4, 4))(b, b.node("GlobalAveragePool", [x], "g")),
    ),
}

SATURATING: dict[str, Write] = {
    "relu": op("Relu"),
    "clip 0..6": op("Clip", np.float32(0), np.float32(6)),
    "clip above": op("Clip", None, np.float32(1)),
    "clip around zero": op("Clip", np.float32(-0.5), np.float32(0.5)),
    "max with zero": op("Max", np.float32(0)),
    "min of a relu": lambda b, x: op("Min", np.float32(1))(b, b.node("Relu", [x], "relu")),
    "hard sigmoid behind a convolution": op("HardSigmoid", alpha=1 / 6),
}
