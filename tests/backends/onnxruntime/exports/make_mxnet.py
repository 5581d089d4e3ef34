"""Export small MXNet (Gluon) networks by mx.onnx, for the tests of the backend.

    make exports                                  # in environments of their own, or by hand:

    pip install -r tests/backends/onnxruntime/exports/mxnet.txt
    pip install --no-deps mxnet==1.9.1
    python tests/backends/onnxruntime/exports/make_mxnet.py

Made with mxnet 1.9.1, onnx 1.14.1 (the last with the `onnx.mapping` that mx.onnx imports) and numpy
1.23.5 (mxnet uses names that later ones removed). A file is called `mxnet_<network>_13.onnx`;
weights are drawn from a fixed seed. mx.onnx declares all weights as inputs; `listed` keeps them
so, as its users find them, the others are without.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import mxnet as mx
import numpy as np
import onnx
from mxnet.gluon import nn
from mxnet.gluon.model_zoo.vision import mobilenet, resnet

HERE = Path(__file__).parent
OPSET = 13
BATCH = 2


def small_resnet() -> mx.gluon.HybridBlock:
    """Return the model zoo's ResNet v1, cut to two stages of one block."""
    return resnet.ResNetV1(resnet.BasicBlockV1, [1, 1], [8, 8, 16], classes=10, thumbnail=True)


def small_mobilenet() -> mx.gluon.HybridBlock:
    """Return the first blocks of the model zoo's MobileNetV2 at a quarter of its width."""
    features = mobilenet.MobileNetV2(multiplier=0.25, classes=10).features
    network = nn.HybridSequential()
    for layer in list(features)[:7]:
        network.add(layer)
    network.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(10))
    return network


def small_convnet() -> mx.gluon.HybridBlock:
    """Return convolutions with a concat, LeakyReLU, average pooling and a dense head."""
    network = nn.HybridSequential()
    branches = mx.gluon.contrib.nn.HybridConcurrent(axis=1)
    branches.add(nn.Conv2D(8, 1, activation="relu"), nn.Conv2D(8, 3, padding=1))
    branches.add(mx.gluon.contrib.nn.Identity())
    network.add(
        nn.Conv2D(8, 3, padding=1), nn.LeakyReLU(0.1), nn.AvgPool2D(2), branches,
        nn.Conv2D(16, 3, padding=1, activation="sigmoid"), nn.MaxPool2D(2), nn.Dropout(0.5),
        nn.Dense(16, activation="relu"), nn.Dense(10),
    )  # fmt: skip
    return network


def settle(network: mx.gluon.HybridBlock, size: int) -> None:
    """Draw all weights, and give BatchNorm statistics that fit them."""
    mx.random.seed(0)
    np.random.seed(0)
    network.initialize(mx.init.MSRAPrelu(slope=0.0))
    network(mx.nd.zeros((BATCH, 3, size, size)))
    for name, parameter in network.collect_params().items():
        if name.endswith(("beta", "bias")):
            parameter.set_data(mx.nd.random.normal(0, 0.2, parameter.shape))
        if name.endswith("gamma"):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
    with mx.autograd.train_mode():
        for _ in range(40):  # running averages of momentum 0.9
            with mx.autograd.record():
                network(mx.nd.random.normal(shape=(16, 3, size, size)))
            mx.nd.waitall()


def export(name: str, network: mx.gluon.HybridBlock, size: int, listed: bool = False) -> Path:
    """Write one export and return its path.

    Args:
        name: of the network.
        network: the network.
        size: height and width of its images.
        listed: whether the weights stay inputs.
    """
    network.hybridize(static_alloc=False)
    settle(network, size)
    network(mx.nd.zeros((BATCH, 3, size, size)))
    path = HERE / f"mxnet_{name}_{OPSET}.onnx"
    with tempfile.TemporaryDirectory() as folder:
        network.export(f"{folder}/network")
        symbol, parameters = f"{folder}/network-symbol.json", f"{folder}/network-0000.params"
        with patch("onnx.defs.onnx_opset_version", return_value=OPSET):
            mx.onnx.export_model(
                symbol, parameters, in_shapes=[(BATCH, 3, size, size)], in_types=np.float32,
                onnx_file_path=str(path), dynamic=True,
                dynamic_input_shapes=[("batch", 3, size, size)],
            )  # fmt: skip
    model = onnx.load(path)
    model.opset_import[0].version = OPSET  # it writes the latest, whatever it wrote the nodes for
    if not listed:
        remove_listed_weights(model.graph)
    onnx.save(model, path)
    return path


def remove_listed_weights(graph: onnx.GraphProto) -> None:
    """Leave the data as the only inputs."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)


EXPORTS: list[tuple[str, Callable[[], mx.gluon.HybridBlock], int, bool]] = [
    ("resnet", small_resnet, 16, False),
    ("mobilenet", small_mobilenet, 32, False),
    ("convnet", small_convnet, 16, True),
]


def main() -> None:
    """Write every export."""
    logging.disable(logging.WARNING)
    for name, make, size, listed in EXPORTS:
        path = export(name, make(), size, listed)
        print(f"{path.stat().st_size:8d}  {path.name}")


if __name__ == "__main__":
    main()
