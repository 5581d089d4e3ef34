"""Full-size networks with random weights, written as PyTorch exports them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from octavo.backends.onnxruntime.builder import Builder


def resnet50(size: int = 224) -> onnx.ModelProto:
    """ResNet-50 v1.5 (stride in the 3x3), BatchNorm already folded, 4.1 G multiply-adds."""
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
    x = b.gemm(x, "head", channels, 1000)
    return b.model({"image": (TensorProto.FLOAT, ["batch", 3, size, size])}, {x: ["batch", 1000]})


def _bottleneck(b: Builder, x: str, name: str, cin: int, width: int, stride: int) -> str:
    y = b.node("Relu", [b.conv(x, f"{name}_1", cin, width, k=1)], f"{name}_1r")
    y = b.node("Relu", [b.conv(y, f"{name}_2", width, width, stride=stride)], f"{name}_2r")
    y = b.conv(y, f"{name}_3", width, 4 * width, k=1)
    if stride != 1 or cin != 4 * width:
        x = b.conv(x, f"{name}_down", cin, 4 * width, k=1, stride=stride)
    return b.node("Relu", [b.node("Add", [y, x], f"{name}_add")], f"{name}_relu")


def mobilenet_v2(size: int = 224) -> onnx.ModelProto:
    """MobileNetV2 1.0, BatchNorm already folded, 0.3 G multiply-adds."""
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
    x = b.gemm(x, "head", 1280, 1000)
    return b.model({"image": (TensorProto.FLOAT, ["batch", 3, size, size])}, {x: ["batch", 1000]})


def _inverted(b: Builder, x: str, name: str, cin: int, cout: int, expand: int, stride: int) -> str:
    wide = cin * expand
    y = x if expand == 1 else b.relu6(b.conv(x, f"{name}_e", cin, wide, k=1), f"{name}_e6")
    y = b.relu6(b.conv(y, f"{name}_d", wide, wide, stride=stride, group=wide), f"{name}_d6")
    y = b.conv(y, f"{name}_p", wide, cout, k=1)
    return y if stride != 1 or cin != cout else b.node("Add", [x, y], f"{name}_add")


def bert_base(
    sequence: int = 128, layers: int = 12, width: int = 768, heads: int = 12, words: int = 30522
) -> onnx.ModelProto:
    """BERT-base without pooler, erf Gelu, attention mask added to the scores."""
    b = Builder()
    x = b.node("Gather", [b.random("word_table", words, width, scale=0.05), "input_ids"], "words")
    x = b.node("Add", [x, b.random("position_table", 1, sequence, width, scale=0.05)], "positions")
    x = b.layer_norm(x, "embedding_norm", width)
    mask = b.node("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
    mask = b.node("Sub", [b.weight("one_mask", np.float32(1.0)), mask], "mask_inverse")
    mask = b.node("Mul", [mask, b.weight("low", np.float32(-10000.0))], "mask_scaled")
    mask = b.node("Unsqueeze", [mask, b.weight("axes", np.array([1, 2]))], "mask")
    for layer in range(layers):
        x = transformer_layer(b, x, mask, f"l{layer}", width, heads)
    ids = (TensorProto.INT64, ["batch", sequence])
    return b.model({"input_ids": ids, "attention_mask": ids}, {x: ["batch", sequence, width]})


def transformer_layer(b: Builder, x: str, mask: str, name: str, width: int, heads: int) -> str:
    """Append attention and feed-forward, LayerNorm behind each; return the output's name."""
    parts = {}
    for part in "qkv":
        y = b.linear(x, f"{name}_{part}", width, width)
        y = b.reshape(y, f"{name}_{part}_split", 0, 0, heads, width // heads)
        perm = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
        parts[part] = b.node("Transpose", [y], f"{name}_{part}_t", perm=perm)
    scores = b.node("MatMul", [parts["q"], parts["k"]], f"{name}_scores")
    root = b.weight(f"{name}_root", np.float32((width // heads) ** -0.5))
    scores = b.node("Add", [b.node("Mul", [scores, root], f"{name}_scaled"), mask], f"{name}_m")
    weights = b.node("Softmax", [scores], f"{name}_softmax", axis=-1)
    y = b.node("MatMul", [weights, parts["v"]], f"{name}_mix")
    y = b.node("Transpose", [y], f"{name}_merge_t", perm=[0, 2, 1, 3])
    y = b.linear(b.reshape(y, f"{name}_merge", 0, 0, width), f"{name}_o", width, width)
    x = b.layer_norm(b.node("Add", [y, x], f"{name}_skip1"), f"{name}_norm1", width)
    y = b.gelu(b.linear(x, f"{name}_up", width, 4 * width), f"{name}_gelu")
    y = b.linear(y, f"{name}_down", 4 * width, width)
    return b.layer_norm(b.node("Add", [y, x], f"{name}_skip2"), f"{name}_norm2", width)


NETWORKS = {"resnet50": resnet50, "mobilenet_v2": mobilenet_v2, "bert_base": bert_base}
