"""Writing ONNX networks with random weights by hand, as exporters do: for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from octavo.arrays import Array


@dataclass
class Builder:
    """Collects nodes and weights; every method returns the name of what it made.

    Attributes:
        seed: of the random weights.
        opset: of the model.
        nodes: in the order in which they were added.
        weights: initializers.
    """

    seed: int = 0
    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def weight(self, name: str, array: Array | np.generic) -> str:
        """Add a constant."""
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def random(self, name: str, *shape: int, scale: float = 1.0) -> str:
        """Add a float32 constant of normally distributed values."""
        return self.weight(name, (self.rng.normal(size=shape) * scale).astype(np.float32))

    def node(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        """Add a node with one output, `<name>_out`."""
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def conv(
        self, x: str, name: str, cin: int, cout: int, k: int = 3, stride: int = 1, group: int = 1
    ) -> str:
        """Add a convolution with bias, padded so that stride 1 keeps the size."""
        fan = cin // group * k * k
        w = self.random(f"{name}_w", cout, cin // group, k, k, scale=(2 / fan) ** 0.5)
        b = self.random(f"{name}_b", cout, scale=0.1)
        pads = [k // 2] * 4
        return self.node(
            "Conv", [x, w, b], name, kernel_shape=[k, k], pads=pads, strides=[stride] * 2,
            group=group,
        )  # fmt: skip

    def batch_norm(self, x: str, name: str, channels: int) -> str:
        """Add a BatchNormalization with random statistics."""
        positive = self.rng.uniform(0.5, 1.5, (2, channels)).astype(np.float32)
        gamma = self.weight(f"{name}_gamma", positive[0])
        beta = self.random(f"{name}_beta", channels, scale=0.2)
        mean = self.random(f"{name}_mean", channels, scale=0.2)
        variance = self.weight(f"{name}_var", positive[1])
        return self.node("BatchNormalization", [x, gamma, beta, mean, variance], name)

    def relu6(self, x: str, name: str) -> str:
        """Add a Clip to 0..6."""
        low = self.weight(f"{name}_low", np.float32(0.0))
        high = self.weight(f"{name}_high", np.float32(6.0))
        return self.node("Clip", [x, low, high], name)

    def gemm(self, x: str, name: str, n_in: int, n_out: int) -> str:
        """Add a Gemm with a transposed weight and a bias."""
        w = self.random(f"{name}_w", n_out, n_in, scale=n_in**-0.5)
        b = self.random(f"{name}_b", n_out, scale=0.1)
        return self.node("Gemm", [x, w, b], name, transB=1)

    def linear(self, x: str, name: str, n_in: int, n_out: int) -> str:
        """Add a MatMul and the Add of a bias, as exporters write a linear layer."""
        w = self.random(f"{name}_w", n_in, n_out, scale=n_in**-0.5)
        b = self.random(f"{name}_b", n_out, scale=0.1)
        return self.node("Add", [self.node("MatMul", [x, w], name), b], f"{name}_bias")

    def reshape(self, x: str, name: str, *shape: int) -> str:
        """Add a Reshape to a constant shape."""
        return self.node("Reshape", [x, self.weight(f"{name}_s", np.array(shape))], name)

    def layer_norm(self, x: str, name: str, width: int) -> str:
        """Add a LayerNormalization over the last axis."""
        gamma = self.weight(f"{name}_g", np.ones(width, np.float32))
        beta = self.random(f"{name}_b", width, scale=0.1)
        return self.node("LayerNormalization", [x, gamma, beta], name, axis=-1)

    def gelu(self, x: str, name: str) -> str:
        """Add x * (erf(x / sqrt(2)) + 1) / 2 in five nodes."""
        root = self.weight(f"{name}_root", np.float32(2**0.5))
        one, half = (
            self.weight(f"{name}_1", np.float32(1)),
            self.weight(f"{name}_h", np.float32(0.5)),
        )
        erf = self.node("Erf", [self.node("Div", [x, root], f"{name}_a")], f"{name}_b")
        y = self.node("Mul", [x, self.node("Add", [erf, one], f"{name}_c")], f"{name}_d")
        return self.node("Mul", [y, half], name)

    def model(
        self, inputs: dict[str, tuple[int, list[object]]], outputs: dict[str, list[object]]
    ) -> onnx.ModelProto:
        """Return the checked model.

        Args:
            inputs: element type and shape by input name.
            outputs: shape by name of a float output.
        """
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
