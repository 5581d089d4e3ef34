"""Small networks with fixed weights: what the contract runs on every backend.

They are plain data: an adapter writes one as a model of its framework, layer by layer, and keeps
the names of tensors and weights where the framework allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from octavo.arrays import Array, Batch
from octavo.backends.reference.network import Attribute, Layer, Network
from octavo.model import TensorSpec

FREE = "samples"
IMAGE = TensorSpec("image", "float32", (FREE, 3, 12, 12))


class _Weights:
    """Draws the constants of one network from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.arrays: dict[str, Array] = {}

    def layer(
        self, name: str, op: str, entering: str, shape: tuple[int, ...], **attributes: Attribute
    ) -> Layer:
        """Return a layer with a weight of `shape`, and with a bias unless it is a matmul.

        The weight keeps the variance of what it reads; its output channels differ in size up to
        fourfold, so that a scale per channel has a meaning.
        """
        axis = 1 if op == "matmul" else 0
        terms = np.prod(shape) / shape[axis]
        sizes = np.geomspace(0.5, 2, shape[axis]).reshape(
            [-1 if i == axis else 1 for i in range(len(shape))]
        )
        self._draw(f"{name}.weight", shape, sizes * np.sqrt(2 / terms))
        names = [f"{name}.weight"]
        if op != "matmul":
            self._draw(f"{name}.bias", shape[:1], np.array(0.3))
            names.append(f"{name}.bias")
        return Layer(name, op, (entering,), f"{name}.out", tuple(names), attributes)

    def scale(self, name: str, factor: float) -> None:
        """Multiply a constant that was drawn before."""
        self.arrays[name] = self.arrays[name] * np.float32(factor)

    def _draw(self, name: str, shape: tuple[int, ...], size: Array) -> None:
        self.arrays[name] = (self.random.standard_normal(shape) * size).astype(np.float32)


def _plain(op: str, name: str, *entering: str, **attributes: Attribute) -> Layer:
    return Layer(name, op, entering, f"{name}.out", (), attributes)


def convnet() -> Network:
    """Return convolutions (plain, depthwise, 1 x 1), pools and a classifier in one chain."""
    draw = _Weights(1)
    layers = (
        draw.layer("stem", "conv", "image", (16, 3, 3, 3), padding=1),
        _plain("relu", "stem_relu", "stem.out"),
        draw.layer("depthwise", "conv", "stem_relu.out", (16, 1, 3, 3), padding=1, groups=16),
        _plain("max_pool", "pool", "depthwise.out", size=2, stride=2),
        draw.layer("pointwise", "conv", "pool.out", (24, 16, 1, 1)),
        _plain("relu", "pointwise_relu", "pointwise.out"),
        _plain("global_average_pool", "average", "pointwise_relu.out"),
        _plain("flatten", "flat", "average.out"),
        draw.layer("classifier", "gemm", "flat.out", (10, 24)),
    )
    return Network("convnet", (IMAGE,), ("classifier.out",), layers, draw.arrays)


def residual() -> Network:
    """Return two convolutions whose results are added, then a ReLU: one tensor has two readers."""
    draw = _Weights(2)
    layers = (
        draw.layer("first", "conv", "image", (16, 3, 3, 3), padding=1),
        _plain("relu", "first_relu", "first.out"),
        draw.layer("second", "conv", "first_relu.out", (16, 16, 3, 3), padding=1),
        _plain("add", "sum", "second.out", "first_relu.out"),
        _plain("relu", "sum_relu", "sum.out"),
    )
    return Network("residual", (IMAGE,), ("sum_relu.out",), layers, draw.arrays)


def concat() -> Network:
    """Return two branches of very different ranges that are joined and convolved."""
    draw = _Weights(3)
    layers = (
        draw.layer("small", "conv", "image", (8, 3, 1, 1)),
        _plain("relu", "small_relu", "small.out"),
        draw.layer("large", "conv", "image", (8, 3, 3, 3), padding=1, stride=1),
        _plain("relu", "large_relu", "large.out"),
        _plain("concat", "join", "small_relu.out", "large_relu.out", axis=1),
        draw.layer("mix", "conv", "join.out", (16, 16, 3, 3), stride=2),
    )
    for name in ("large.weight", "large.bias"):
        draw.scale(name, 20)
    return Network("concat", (IMAGE,), ("mix.out",), layers, draw.arrays)


def mlp() -> Network:
    """Return two matrix products with a ReLU between them."""
    draw = _Weights(4)
    layers = (
        draw.layer("hidden", "gemm", "features", (32, 24)),
        _plain("relu", "hidden_relu", "hidden.out"),
        draw.layer("output", "gemm", "hidden_relu.out", (8, 32)),
    )
    features = TensorSpec("features", "float32", (FREE, 24))
    return Network("mlp", (features,), ("output.out",), layers, draw.arrays)


def attention() -> Network:
    """Return one head of cross attention: two inputs, products of activations and a softmax."""
    draw, width = _Weights(5), 16
    layers = (
        draw.layer("q", "matmul", "query", (width, width)),
        draw.layer("k", "matmul", "memory", (width, width)),
        draw.layer("v", "matmul", "memory", (width, width)),
        _plain("transpose", "keys", "k.out", order=(0, 2, 1)),
        _plain("matmul", "scores", "q.out", "keys.out"),
        _plain("softmax", "probabilities", "scores.out"),
        _plain("matmul", "context", "probabilities.out", "v.out"),
        draw.layer("project", "matmul", "context.out", (width, width)),
    )
    draw.scale("q.weight", width**-0.5)
    query = TensorSpec("query", "float32", (FREE, 4, width))
    memory = TensorSpec("memory", "float32", (FREE, 6, width))
    return Network("attention", (query, memory), ("project.out",), layers, draw.arrays)


NETWORKS: Mapping[str, Callable[[], Network]] = {
    "convnet": convnet,
    "residual": residual,
    "concat": concat,
    "mlp": mlp,
    "attention": attention,
}
"""Every network by name."""


def samples(network: Network, count: int, seed: int = 0) -> Batch:
    """Return one batch of standard normal inputs."""
    random = np.random.default_rng(seed)
    return {
        spec.name: random.standard_normal(spec.concrete(count)).astype(np.float32)
        for spec in network.inputs
    }
