"""Strategies of others, objectives and limits from `octavo.quantize`."""

import warnings
from typing import get_args

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import octavo
from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.errors import ExitCode, UsageError
from octavo.job import Strategy
from octavo.search.strategies import STRATEGIES
from octavo.testing.networks import convnet
from octavo.workflow import measure


def measured(ratio, memory=(100.0, 100.0)):
    fp32, int8 = (
        Measurement(label, speed, Latency(1, 1, 1), 1, held, (0,))
        for (label, speed), held in zip((("FP32", 1.0), ("INT8", ratio)), memory, strict=True)
    )
    interval = (0.95 * ratio, 1.05 * ratio)
    return PairResult(fp32, int8, ratio, interval, 4, 1.0, 1, 1, Noise(0.0, 0.0, 0.0, None))


@pytest.fixture
def speed(monkeypatch):
    """Set the ratio, and what both workers hold in memory."""

    def set_to(ratio, memory=(100.0, 100.0)):
        monkeypatch.setattr(measure, "measure_pair", lambda *a, **k: measured(ratio, memory))

    set_to(2.0)
    return set_to


def run(model=None, **options):
    random = np.random.default_rng(0)
    calibration = random.standard_normal((16, 3, 12, 12)).astype(np.float32)
    evaluation = random.standard_normal((200, 3, 12, 12)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return octavo.quantize(
            model or convnet(), calibration=[calibration], evaluation=[evaluation], correct="none",
            seconds=0.2, runtime=None, **options,
        )  # fmt: skip


def test_every_strategy_can_be_asked_for():
    assert set(get_args(Strategy)) == {"solve", *STRATEGIES}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_ends_with_a_plan_that_holds(speed, strategy):
    result = run(strategy=strategy, tolerance="5%", max_evaluations=6)
    assert result.exit_code == ExitCode.DONE
    assert result.saved == "int8"
    assert result.accuracy["samples"] == 200
    assert result.accuracy["verdict"] in ("proven", "within", "undecided")
    assert result.to_json()["trials"][0]["plan"] == f"{strategy} 1"


def test_a_strategy_that_finds_nothing_keeps_the_most_accurate(speed):
    result = run(strategy="random", tolerance="0 absolute", max_evaluations=1.5)
    report = result.to_json()
    assert result.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert report["accuracy"]["samples"] == 200  # it is kept, so that its figures are of all
    assert report["evaluations"] < 1.5 + 2
    assert any("1.5 evaluations are spent" in note for note in report["notes"])


def test_a_limit_on_time_lets_the_first_plan_finish(speed):
    result = run(tolerance="0 absolute", timeout=0.001)
    report = result.to_json()
    assert len(report["trials"]) == 1
    assert any("the time of 0.001 s is over" in note for note in report["notes"])
    assert result.exit_code == ExitCode.TOLERANCE_NOT_REACHED


def wide():
    """An ONNX classifier whose weights are nearly all of its file."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32) / 10, name)
        for name, shape in (("w1", (432, 128)), ("w2", (128, 3)))
    ]
    nodes = [
        helper.make_node("Flatten", ["image"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2"], ["y"], name="second"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 12, 12])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "net", [image], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_smallest_file_may_be_slower(speed):
    speed(0.8)
    assert run(wide(), tolerance="10%").exit_code == ExitCode.NOT_FASTER
    result = run(wide(), tolerance="10%", objective="size")
    assert result.exit_code == ExitCode.DONE
    assert "x smaller" in result.reason
    assert result.to_json()["trials"][-1]["disk"] < 0.4
    assert result.throughput["ratio"] == pytest.approx(0.8)


def test_memory_is_measured(speed):
    speed(0.8, memory=(100.0, 80.0))
    result = run(tolerance="10%", objective="memory")
    assert (result.exit_code, "1.25x smaller in memory" in result.reason) == (ExitCode.DONE, True)
    speed(0.8, memory=(80.0, 100.0))
    result = run(tolerance="10%", objective="memory")
    assert result.exit_code == ExitCode.NOT_FASTER
    assert result.saved == "fp32"


@pytest.mark.parametrize("time", ["", "soon", "0", "-1", True, "1d"])
def test_a_time_that_is_none_is_refused(time):
    with pytest.raises(UsageError, match="30m"):
        octavo.QuantizeJob(timeout=time)


@pytest.mark.parametrize(
    ("time", "seconds"), [("90", 90), (90, 90), ("90s", 90), ("1.5m", 90), ("1h30m", 5400)]
)
def test_times_are_read(time, seconds):
    assert octavo.QuantizeJob(timeout=time).timeout == seconds
