"""Networks for images as PyTorch exports them: BatchNorm folded, NCHW."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from octavo.backends.onnxruntime.builder import Builder

CLASSES = 1000


def image_model(b: Builder, size: int, output: str) -> onnx.ModelProto:
    """Return the model of a classifier of square RGB images."""
    image = (TensorProto.FLOAT, ["batch", 3, size, size])
    return b.model({"image": image}, {output: ["batch", CLASSES]})


def resnet50(size: int = 224) -> onnx.ModelProto:
    """ResNet-50 v1.5 (stride in the 3x3), 4.1 G multiply-adds."""
    b = Builder()
    x = b.node("Relu", [b.conv("image", "stem", 3, 64, k=7, stride=2)], "stem_relu")
    x = b.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = _bottleneck(b, x, f"s{stage}b{block}", channels, 64 << stage, stride)
            channels = 256 << stage
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x], "average")], "flatten")
    return image_model(b, size, b.gemm(x, "head", channels, CLASSES))


def _bottleneck(b: Builder, x: str, name: str, cin: int, width: int, stride: int) -> str:
    y = b.node("Relu", [b.conv(x, f"{name}_1", cin, width, k=1)], f"{name}_1r")
    y = b.node("Relu", [b.conv(y, f"{name}_2", width, width, stride=stride)], f"{name}_2r")
    y = b.conv(y, f"{name}_3", width, 4 * width, k=1)
    if stride != 1 or cin != 4 * width:
        x = b.conv(x, f"{name}_down", cin, 4 * width, k=1, stride=stride)
    return b.node("Relu", [b.node("Add", [y, x], f"{name}_add")], f"{name}_relu")


def vgg16(size: int = 224) -> onnx.ModelProto:
    """VGG-16 without BatchNorm, 15.5 G multiply-adds.

    Its adaptive pooling to 7 x 7 is exported as an average over windows of 1 x 1 at the usual size.
    """
    b = Builder()
    x, channels = "image", 3
    for stage, (convs, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        for index in range(convs):
            name = f"s{stage}c{index}"
            x = b.node("Relu", [b.conv(x, name, channels, width)], f"{name}r")
            channels = width
        x = b.node("MaxPool", [x], f"pool{stage}", kernel_shape=[2, 2], strides=[2, 2])
    window = [size // 32 // 7] * 2
    x = b.node("AveragePool", [x], "average", kernel_shape=window, strides=window)
    x = b.node("Flatten", [x], "flatten")
    x = b.node("Relu", [b.gemm(x, "fc1", 7 * 7 * channels, 4096)], "fc1r")
    x = b.node("Relu", [b.gemm(x, "fc2", 4096, 4096)], "fc2r")
    return image_model(b, size, b.gemm(x, "head", 4096, CLASSES))


def mobilenet_v2(size: int = 224) -> onnx.ModelProto:
    """MobileNetV2 1.0, 0.3 G multiply-adds."""
    b = Builder()
    x = b.relu6(b.conv("image", "stem", 3, 32, stride=2), "stem_6")
    channels, index = 32, 0
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
             (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
    for expand, cout, blocks, first_stride in table:
        for block in range(blocks):
            stride = 1 if block else first_stride
            x = _inverted(b, x, f"b{index}", channels, cout, expand, stride)
            channels, index = cout, index + 1
    x = b.relu6(b.conv(x, "last", channels, 1280, k=1), "last_6")
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x], "average")], "flatten")
    return image_model(b, size, b.gemm(x, "head", 1280, CLASSES))


def _inverted(b: Builder, x: str, name: str, cin: int, cout: int, expand: int, stride: int) -> str:
    wide = cin * expand
    y = x if expand == 1 else b.relu6(b.conv(x, f"{name}_e", cin, wide, k=1), f"{name}_e6")
    y = b.relu6(b.conv(y, f"{name}_d", wide, wide, stride=stride, group=wide), f"{name}_d6")
    y = b.conv(y, f"{name}_p", wide, cout, k=1)
    return y if stride != 1 or cin != cout else b.node("Add", [x, y], f"{name}_add")
