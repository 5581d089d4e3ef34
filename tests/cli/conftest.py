import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from octavo.cli import main


def weight(name, *shape, seed=0):
    random = np.random.default_rng([seed, *name.encode()])
    scale = 1.4 / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array((random.standard_normal(shape) * scale).astype(np.float32), name)


def save_model(path, nodes, weights, batch="N", size=32, output=10):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, size, size])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, output])
    graph = helper.make_graph(nodes, "net", [image], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def conv(name, source, target):
    return helper.make_node(
        "Conv", [source, f"{name}.w"], [target], name=name, kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    )


def make_net(path, batch="N", first="image", before=()):
    """Write a classifier of 32x32 pictures, large enough for INT8 to pay."""
    nodes = [
        *before,
        conv("stem/conv", first, "c1"),
        helper.make_node("Relu", ["c1"], ["r1"], name="stem/relu"),
        conv("body/conv", "r1", "c2"),
        helper.make_node("Relu", ["c2"], ["r2"], name="body/relu"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="head/pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="head/flatten"),
        helper.make_node("Gemm", ["f", "fc.w"], ["logits"], name="head/fc", transB=1),
    ]
    weights = [
        weight("stem/conv.w", 64, 3, 3, 3),
        weight("body/conv.w", 64, 64, 3, 3),
        weight("fc.w", 10, 64),
    ]
    return save_model(path, nodes, weights, batch)


def make_soft(path):
    """Write a model without anything to quantize."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Softmax", ["f"], ["logits"], name="softmax"),
    ]
    return save_model(path, nodes, [], output=3)


def make_logarithm(path):
    """Write a model that takes the logarithm of its input, which is NaN below zero."""
    before = [helper.make_node("Log", ["image"], ["log"], name="stem/log")]
    return make_net(path, first="log", before=before)


def pictures(count, seed):
    return np.random.default_rng(seed).random((count, 3, 32, 32), dtype=np.float32)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with models and data."""
    import onnxruntime

    folder = tmp_path_factory.mktemp("inputs")
    net = make_net(folder / "net.onnx")
    make_net(folder / "fixed.onnx", batch=8)
    make_soft(folder / "soft.onnx")
    make_logarithm(folder / "log.onnx")
    np.savez(folder / "cal.npz", image=pictures(60, 1))
    images = pictures(100, 2)
    logits = onnxruntime.InferenceSession(net).run(None, {"image": images})[0]
    np.savez(folder / "labels.npz", image=images, label=logits.argmax(1))
    np.savez(folder / "logits.npz", image=images, label=logits)
    return folder


@pytest.fixture
def octavo(capsys):
    """Run the command line in this process: exit code, standard output and standard error."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def artifact(place):
    """An INT8 artifact made by a process of its own, and the JSON it printed."""
    folder = place / "made"
    command = [sys.executable, "-m", "octavo.cli", "quantize", "net.onnx", "-o", "made", "--json"]
    command += ["--calibration", "cal.npz", "--evaluation", "labels.npz", "--seconds", "3"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)
