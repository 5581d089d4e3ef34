"""A model of more than 2 GB, which no protobuf message can hold, taken through every step."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_case import BACKEND, TARGET, Case, noise, run, sqnr

from octavo.search.initial import initial_plan

pytestmark = pytest.mark.slow

WIDTH, LAYERS, BLOCK = 8192, 9, 1 << 22
MESSAGE_LIMIT = 1 << 31  # bytes
MEMORY = 6_000  # MB: the mapped file, ONNX Runtime's packed copy of it, and the INT8 weights


class Writer:
    """Writes float32 tensors, made of one random block again and again, behind one another."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.name = path.name
        self.block = noise(BLOCK)

    def tensor(self, name: str, *shape: int) -> TensorProto:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        size, start = int(np.prod(shape)), self.file.tell()
        block = self.block * np.float32((2 / shape[0]) ** 0.5)
        for begin in range(0, size, BLOCK):
            np.roll(block, begin // 7)[: size - begin].tofile(self.file)
        for key, value in (("location", self.name), ("offset", start), ("length", 4 * size)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


def write(folder: Path) -> Path:
    """Write the network, and 2.4 GB of weights beside it."""
    writer = Writer(folder / "weights.bin")
    sizes = [64, *[WIDTH] * (LAYERS + 1), 10]
    nodes, weights, value = [], [], "rows"
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        weights.append(writer.tensor(f"w{index}", before, after))
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [f"p{index}"], f"d{index}"))
        value = f"p{index}"
        if index <= LAYERS:
            nodes.append(helper.make_node("Relu", [value], [f"h{index}"], f"r{index}"))
            value = f"h{index}"
    writer.file.close()
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("rows", 64), (value, 10))
    ]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.save(model, folder / "large.onnx")
    return folder / "large.onnx"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    yield write(folder)
    shutil.rmtree(folder)


@pytest.fixture
def place(tmp_path):
    yield tmp_path
    shutil.rmtree(tmp_path)


def anonymous_megabytes() -> float:
    """Return the memory of this process that is not backed by files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))


def test_the_file_is_over_the_limit(path):
    assert path.with_name("weights.bin").stat().st_size > MESSAGE_LIMIT
    assert path.stat().st_size < 10_000


def test_loading_and_describing_read_no_weights_into_memory(path):
    before = anonymous_megabytes()
    model = BACKEND.load(path)
    graph = BACKEND.graph(model, TARGET)

    assert graph.macs == 64 * WIDTH + LAYERS * WIDTH**2 + WIDTH * 10
    assert len(graph.fingerprint) == 64
    assert anonymous_megabytes() - before < 300


@pytest.mark.parametrize("approach", ["static", "dynamic"])
def test_it_is_built_saved_and_restored(path, place, approach):
    model = BACKEND.load(path)
    plan = initial_plan(BACKEND.graph(model, TARGET), approach=approach).plan
    case = Case(model, plan, {"rows": noise(8, 64)})
    output = model.outputs[0].name

    assert case.failures == {}
    assert {audit.executed[:4] for audit in case.audit.values()} == {"int8"}
    assert case.sqnr(output) > 20
    BACKEND.save(case.built, place)
    size = sum(file.stat().st_size for file in place.iterdir())
    assert size < path.with_name("weights.bin").stat().st_size / 3.9
    restored = BACKEND.restore(place)
    np.testing.assert_array_equal(run(restored, case.batch)[output], case.int8_outputs[output])


def test_the_float_model_is_saved_and_restored(path, place):
    model = BACKEND.load(path)
    batch = {"rows": noise(2, 64)}
    output = model.outputs[0].name
    BACKEND.save(model, place)

    assert {file.name for file in place.iterdir()} == {"model.onnx", "model.onnx.data"}
    found = run(BACKEND.restore(place), batch)[output]
    assert sqnr(run(model, batch)[output], found) > 120


def test_the_whole_command_line(path, place):
    command = [sys.executable, "-m", "octavo.cli", "quantize", str(path), "-o", str(place / "int8"),
               "--seconds", "3", "--json"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["saved"] == "int8"
    assert result["groups"]["int8"] == result["groups"]["total"] == LAYERS + 2
    assert result["throughput"]["ratio"] > 1.5
    assert result["peak_memory_mb"] < MEMORY
