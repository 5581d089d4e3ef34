"""Small ONNX networks with random weights, as exporters write them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from octavo.backends.onnxruntime import builder


class Builder(builder.Builder):
    """The package's builder, for models whose output shapes are inferred."""

    def add(
        self, op: str, inputs: list[str], outputs: list[str], name: str, **attributes: object
    ) -> list[str]:
        """Add a node with outputs of these names and return them."""
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs

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
