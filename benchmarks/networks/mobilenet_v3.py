"""MobileNetV3-Large in the layout of torchvision, in the forms that exporters give its activations.

Source: Howard et al., Searching for MobileNetV3 (2019), table 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import onnx

from benchmarks.networks.convnets import CLASSES, image_model
from octavo.backends.onnxruntime.builder import Builder

Swish = Literal["HardSwish", "HardSigmoid", "Clip"]
Pool = Literal["GlobalAveragePool", "ReduceMean"]


class Block(NamedTuple):
    """One row of the table: kernel, channels, squeeze-and-excitation, HardSwish or Relu, stride."""

    kernel: int
    expanded: int
    cout: int
    squeeze: bool
    swish: bool
    stride: int


BLOCKS = (
    Block(3, 16, 16, False, False, 1),
    Block(3, 64, 24, False, False, 2),
    Block(3, 72, 24, False, False, 1),
    Block(5, 72, 40, True, False, 2),
    Block(5, 120, 40, True, False, 1),
    Block(5, 120, 40, True, False, 1),
    Block(3, 240, 80, False, True, 2),
    Block(3, 200, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 480, 112, True, True, 1),
    Block(3, 672, 112, True, True, 1),
    Block(5, 672, 160, True, True, 2),
    Block(5, 960, 160, True, True, 1),
    Block(5, 960, 160, True, True, 1),
)


def mobilenet_v3_large(
    size: int = 224, swish: Swish = "HardSwish", pool: Pool = "GlobalAveragePool"
) -> onnx.ModelProto:
    """MobileNetV3-Large 1.0, 0.22 G multiply-adds.

    Args:
        size: of the image.
        swish: `HardSwish` is what exporters write from opset 14 on; `HardSigmoid` (x times
            HardSigmoid) and `Clip` (x times Clip of x + 3, over 6) are the forms of older ones.
        pool: `GlobalAveragePool` is what TorchScript's exporter writes, `ReduceMean` what torch's
            dynamo exporter and TensorFlow's write.
    """
    return _Writer(swish, pool).write(size)


class _Writer:
    def __init__(self, swish: Swish, pool: Pool) -> None:
        self.b = Builder()
        self.form = swish
        self.pool = pool

    def write(self, size: int) -> onnx.ModelProto:
        b = self.b
        x, channels = self.swish(b.conv("image", "stem", 3, 16, stride=2), "stem_s"), 16
        for index, block in enumerate(BLOCKS):
            x = self.block(x, f"b{index}", channels, block)
            channels = block.cout
        x = self.swish(b.conv(x, "last", channels, 6 * channels, k=1), "last_s")
        x = b.node("Flatten", [self.average(x, "average")], "flatten")
        x = self.swish(b.gemm(x, "fc", 6 * channels, 1280), "fc_s")
        return image_model(b, size, b.gemm(x, "head", 1280, CLASSES))

    def block(self, x: str, name: str, cin: int, block: Block) -> str:
        b, wide, y = self.b, block.expanded, x
        if wide != cin:
            y = self.activation(b.conv(x, f"{name}_e", cin, wide, k=1), f"{name}_ea", block)
        y = b.conv(y, f"{name}_d", wide, wide, k=block.kernel, stride=block.stride, group=wide)
        y = self.activation(y, f"{name}_da", block)
        if block.squeeze:
            y = self.excite(y, f"{name}_se", wide)
        y = b.conv(y, f"{name}_p", wide, block.cout, k=1)
        fits = block.stride == 1 and cin == block.cout
        return b.node("Add", [y, x], f"{name}_add") if fits else y

    def activation(self, x: str, name: str, block: Block) -> str:
        return self.swish(x, name) if block.swish else self.b.node("Relu", [x], name)

    def excite(self, x: str, name: str, channels: int) -> str:
        """Squeeze-and-excitation: one factor per channel, from the means of all channels."""
        b, squeezed = self.b, divisible_by_8(channels // 4)
        y = b.conv(self.average(x, f"{name}_mean"), f"{name}_1", channels, squeezed, k=1)
        y = b.conv(b.node("Relu", [y], f"{name}_r"), f"{name}_2", squeezed, channels, k=1)
        return b.node("Mul", [self.hard_sigmoid(y, f"{name}_hs"), x], f"{name}_mul")

    def average(self, x: str, name: str) -> str:
        if self.pool == "GlobalAveragePool":
            return self.b.node("GlobalAveragePool", [x], name)
        return self.b.node("ReduceMean", [x], name, axes=[2, 3], keepdims=1)

    def hard_sigmoid(self, x: str, name: str) -> str:
        if self.form != "Clip":
            return self.b.node("HardSigmoid", [x], name, alpha=1 / 6, beta=0.5)
        return self.sixth(self.clipped(x, name), name)

    def swish(self, x: str, name: str) -> str:
        if self.form == "HardSwish":
            return self.b.node("HardSwish", [x], name)
        if self.form == "HardSigmoid":
            return self.b.node("Mul", [x, self.hard_sigmoid(x, f"{name}_hs")], name)
        return self.sixth(self.b.node("Mul", [x, self.clipped(x, name)], f"{name}_mul"), name)

    def clipped(self, x: str, name: str) -> str:
        three = self.b.weight(f"{name}_three", np.float32(3.0))
        return self.b.relu6(self.b.node("Add", [x, three], f"{name}_add"), f"{name}_clip")

    def sixth(self, x: str, name: str) -> str:
        return self.b.node("Div", [x, self.b.weight(f"{name}_six", np.float32(6.0))], name)


def divisible_by_8(channels: int) -> int:
    """Round to a multiple of 8 that is not below 90 % of `channels`, as the authors' code does."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
