"""Small ONNX networks with random weights, as exporters write them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Builder:
    """Collects nodes and weights; every method returns the name of what it made."""

    seed: int = 0
    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def weight(self, name: str, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def random(self, name: str, *shape: int, scale: float = 1.0) -> str:
        return self.weight(name, (self.rng.normal(size=shape) * scale).astype(np.float32))

    def node(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def conv(
        self, x: str, name: str, cin: int, cout: int, k: int = 3, stride: int = 1, group: int = 1
    ) -> str:
        fan = cin // group * k * k
        w = self.random(f"{name}_w", cout, cin // group, k, k, scale=(2 / fan) ** 0.5)
        b = self.random(f"{name}_b", cout, scale=0.1)
        pads = [k // 2] * 4
        return self.node(
            "Conv", [x, w, b], name, kernel_shape=[k, k], pads=pads, strides=[stride] * 2,
            group=group,
        )  # fmt: skip

    def batch_norm(self, x: str, name: str, channels: int) -> str:
        positive = self.rng.uniform(0.5, 1.5, (2, channels)).astype(np.float32)
        gamma = self.weight(f"{name}_gamma", positive[0])
        beta = self.random(f"{name}_beta", channels, scale=0.2)
        mean = self.random(f"{name}_mean", channels, scale=0.2)
        variance = self.weight(f"{name}_var", positive[1])
        return self.node("BatchNormalization", [x, gamma, beta, mean, variance], name)

    def relu6(self, x: str, name: str) -> str:
        low = self.weight(f"{name}_low", np.float32(0.0))
        high = self.weight(f"{name}_high", np.float32(6.0))
        return self.node("Clip", [x, low, high], name)

    def gemm(self, x: str, name: str, n_in: int, n_out: int) -> str:
        w = self.random(f"{name}_w", n_out, n_in, scale=n_in**-0.5)
        b = self.random(f"{name}_b", n_out, scale=0.1)
        return self.node("Gemm", [x, w, b], name, transB=1)

    def linear(self, x: str, name: str, n_in: int, n_out: int) -> str:
        w = self.random(f"{name}_w", n_in, n_out, scale=n_in**-0.5)
        b = self.random(f"{name}_b", n_out, scale=0.1)
        return self.node("Add", [self.node("MatMul", [x, w], name), b], f"{name}_bias")

    def reshape(self, x: str, name: str, *shape: int) -> str:
        return self.node("Reshape", [x, self.weight(f"{name}_s", np.array(shape))], name)

    def layer_norm(self, x: str, name: str, width: int) -> str:
        gamma = self.weight(f"{name}_g", np.ones(width, np.float32))
        beta = self.random(f"{name}_b", width, scale=0.1)
        return self.node("LayerNormalization", [x, gamma, beta], name, axis=-1)

    def model(
        self, inputs: dict[str, tuple[int, list[object]]], outputs: dict[str, list[object]]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            self.weights,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        onnx.checker.check_model(made)
        return made

    def ending(
        self, *outputs: str, **inputs: tuple[int, list[object]] | list[object]
    ) -> onnx.ModelProto:
        """Return the model with these outputs, whose types and shapes are inferred.

        An input is its shape, of float32, or its type and shape.
        """
        specs = {
            n: s if isinstance(s, tuple) else (TensorProto.FLOAT, s) for n, s in inputs.items()
        }
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(n, t, s) for n, (t, s) in specs.items()],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            self.weights,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        made = onnx.shape_inference.infer_shapes(made, strict_mode=True)
        onnx.checker.check_model(made)
        return made


def convnet(size: int = 16, width: int = 16, batch: object = "batch") -> onnx.ModelProto:
    """Conv + BatchNorm + Relu, inverted residual with Relu6, residual, concat, pools, Gemm."""
    b = Builder()
    x = b.node(
        "Relu", [b.batch_norm(b.conv("image", "stem", 3, width), "stem_bn", width)], "stem_r"
    )
    x = b.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    y = b.relu6(b.batch_norm(b.conv(x, "expand", width, 2 * width, 1), "ebn", 2 * width), "e6")
    y = b.relu6(b.conv(y, "depthwise", 2 * width, 2 * width, group=2 * width), "d6")
    y = b.conv(y, "project", 2 * width, width, 1)
    x = b.node("Relu", [b.node("Add", [x, y], "residual")], "residual_r")
    left = b.node("Relu", [b.conv(x, "left", width, width, 1)], "left_r")
    right = b.node("Relu", [b.conv(x, "right", width, width, group=4)], "right_r")
    x = b.node("Concat", [left, right], "join", axis=1)
    x = b.node("AveragePool", [x], "average", kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("GlobalAveragePool", [x], "global")
    x = b.gemm(b.node("Flatten", [x], "flat"), "head", 2 * width, 10)
    return b.model({"image": (TensorProto.FLOAT, [batch, 3, size, size])}, {x: [batch, 10]})


def transformer(
    width: int = 32, heads: int = 2, sequence: int = 8, words: int = 1024
) -> onnx.ModelProto:
    """Embedding, an attention block and a feed-forward block with Gelu, LayerNorm behind each."""
    b = Builder()
    table = b.random("words", words, width)
    x = b.node("Gather", [table, "ids"], "embedding")
    head = (0, 0, heads, width // heads)
    parts = {}
    for part in "qkv":
        y = b.reshape(b.linear(x, part, width, width), f"{part}_split", *head)
        perm = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
        parts[part] = b.node("Transpose", [y], f"{part}_t", perm=perm)
    scale = b.weight("root", np.float32((width // heads) ** -0.5))
    scores = b.node("Mul", [b.node("MatMul", [parts["q"], parts["k"]], "scores"), scale], "scaled")
    mixed = b.node("MatMul", [b.node("Softmax", [scores], "attention", axis=-1), parts["v"]], "mix")
    y = b.reshape(b.node("Transpose", [mixed], "merge_t", perm=[0, 2, 1, 3]), "merge", 0, 0, width)
    x = b.node("Add", [x, b.linear(y, "attention_output", width, width)], "skip1")
    x = b.layer_norm(x, "norm1", width)
    y = b.linear(x, "intermediate", width, 4 * width)
    half, one = b.weight("half", np.float32(0.5)), b.weight("one", np.float32(1.0))
    erf = b.node("Erf", [b.node("Div", [y, b.weight("r2", np.float32(2**0.5))], "g1")], "g2")
    y = b.node("Mul", [b.node("Mul", [y, b.node("Add", [erf, one], "g3")], "g4"), half], "g5")
    x = b.node("Add", [x, b.linear(y, "output", 4 * width, width)], "skip2")
    x = b.layer_norm(x, "norm2", width)
    spec = (TensorProto.INT64, ["batch", sequence])
    return b.model({"ids": spec}, {x: ["batch", sequence, width]})
