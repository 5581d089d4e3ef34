from itertools import chain, repeat

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import octavo
from octavo.artifact import open_artifact
from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.errors import ExitCode, UsageError
from octavo.job import QuantizeJob
from octavo.testing.networks import attention, convnet
from octavo.testing.networks import samples as network_samples
from octavo.workflow import measure

FAST = {"seconds": 0.3}


def weight(name, *shape):
    random = np.random.default_rng([1, *name.encode()])
    array = random.standard_normal(shape) * 1.4 / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(array.astype(np.float32), name)


@pytest.fixture(scope="module")
def model():
    """A small ONNX classifier in memory."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w2"], ["y"], name="fc", transB=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])
    weights = [weight("w1", 16, 3, 3, 3), weight("w2", 5, 16)]
    graph = helper.make_graph(nodes, "net", [x], [y], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def images(count, seed):
    return np.random.default_rng(seed).random((count, 3, 16, 16), dtype=np.float32)


@pytest.fixture(scope="module")
def result(model):
    calibration = [images(8, 1), images(8, 2)]
    evaluation = [(images(10, 3), np.arange(10) % 5), (images(10, 4), np.arange(10) % 5)]
    return octavo.quantize(
        model, calibration=calibration, evaluation=evaluation, tolerance="0.5 absolute", **FAST
    )


def test_an_object_and_batches_are_enough(result):
    report = result.to_json()
    assert report["accuracy"]["metric"] == "top1"
    assert report["accuracy"]["samples"] == 20
    assert report["artifact"] is None
    assert result.manifest.source == {"name": "in memory", "sha256": None}


def test_a_result_is_shown_on_one_short_line(result):
    shown = repr(result)
    assert shown.startswith(f"Result({result.saved}, exit_code={int(result.exit_code)}, 'INT8 ")
    assert len(shown) < 250
    assert "\n" not in shown


def test_the_manifest_tells_the_outcome(result):
    manifest = result.manifest
    assert (manifest.saved, manifest.reason) == (result.saved, result.reason)
    assert manifest.exit_code == result.exit_code
    assert manifest.preprocessing == {}


@pytest.mark.parametrize("option", [{"evaluation": []}, {"metric": "top1"}])
def test_a_function_of_the_user_beside_a_metric_is_refused(model, option):
    with pytest.raises(UsageError, match="evaluate judges the models by itself"):
        octavo.quantize(model, evaluate=lambda predict: 1.0, **option)


def test_patterns_that_keep_everything_in_float_are_named(model):
    result = octavo.quantize(
        model, calibration=[images(8, 1)], evaluate=lambda predict: 1.0, float="*", **FAST
    )
    assert result.exit_code == ExitCode.NOT_FASTER
    assert result.reason == (
        "the patterns of --float ('*') keep all groups in float: the float model was kept"
    )


def test_an_approach_that_no_group_has_a_form_of_is_named():
    w = weight("w1", 8, 3, 3, 3)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 14, 14])
    node = helper.make_node("Conv", ["x", "w1"], ["y"], name="conv")
    graph = helper.make_graph([node], "net", [x], [y], [w])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    result = octavo.quantize(
        made, calibration=[images(8, 1)], evaluate=lambda predict: 1.0, approach="dynamic", **FAST
    )
    assert result.reason == (
        "no group of the model has a dynamic form; try --approach static: the float model was kept"
    )


def test_an_approach_that_the_runtime_lacks_is_refused_with_its_reason(model):
    pytest.importorskip("openvino")
    with pytest.raises(UsageError, match="openvino has no dynamic quantization: OpenVINO runs Dyn"):
        octavo.quantize(model, runtime="openvino", approach="dynamic", **FAST)


def test_numbers_of_a_model_that_was_not_kept_are_of_its_trial_only(model, monkeypatch):
    def slower(baseline, candidate, batch, target, *, seconds, seed):
        fp32 = Measurement("FP32", 100.0, Latency(1, 1, 1), 1, 1.0, (0,))
        quiet = Noise(0.0, 0.0, 0.0, None)
        return PairResult(fp32, fp32, 0.9, (0.8, 0.95), 4, 1.0, 1, 1, quiet)

    monkeypatch.setattr(measure, "measure_pair", slower)
    result = octavo.quantize(
        model, calibration=[images(8, 1)], evaluate=lambda predict: 1.0, approach="dynamic",
        int8="conv", **FAST,
    )  # fmt: skip
    (row,) = result.manifest.trials
    assert (result.saved, result.exit_code) == ("fp32", ExitCode.NOT_FASTER)
    assert row["groups_int8"] >= 1
    assert result.to_json()["groups"]["int8"] == 0


def test_the_result_can_be_saved_and_loaded(result, tmp_path):
    saved = result.save(tmp_path / "out")
    loaded = octavo.load(tmp_path / "out")
    assert saved.to_json()["artifact"] == str(tmp_path / "out")
    assert loaded.manifest.plan == result.manifest.plan
    assert np.array_equal(loaded(images(4, 5)), result.model(images(4, 5)))


def test_a_loaded_model_takes_arrays_and_dicts(result):
    array = result.model(images(4, 5))
    assert array.shape == (4, 5)
    assert np.array_equal(result.model({"x": images(4, 5)}), array)


@pytest.fixture
def faster(monkeypatch):
    """INT8 is measured twice as fast, whatever the processor and its load."""
    fp32, int8 = (
        Measurement(label, speed, Latency(1, 1, 1), 1, 1.0, (0,))
        for label, speed in (("FP32", 100.0), ("INT8", 200.0))
    )
    pair = PairResult(fp32, int8, 2.0, (1.9, 2.1), 4, 1.0, 1, 1, Noise(0.0, 0.0, 0.0, None))
    monkeypatch.setattr(measure, "measure_pair", lambda *arguments, **options: pair)


@pytest.mark.usefixtures("faster")
def test_a_function_of_the_user_judges_both_models(model):
    seen = []

    def evaluate(predict):
        seen.append(predict(images(4, 6)))
        return 1.0

    result = octavo.quantize(
        model, calibration=[images(8, 1)], evaluate=evaluate, approach="static", ranges="minmax",
        **FAST,
    )  # fmt: skip
    assert len(seen) == 2
    assert not np.array_equal(seen[0], seen[1])
    assert result.accuracy["samples"] is None
    assert result.to_json()["evaluations"] == 1.0


def test_the_direction_of_a_users_score_can_be_turned(model):
    scores = chain([1.0], repeat(2.0))
    result = octavo.quantize(
        model, calibration=[images(8, 1)], evaluate=lambda predict: next(scores),
        higher_is_better=False, approach="static", ranges="minmax", correct="none", **FAST,
    )  # fmt: skip
    assert result.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert result.accuracy["change_relative"] == 1.0


def test_a_model_that_is_less_accurate_and_slower_is_never_the_result(model, monkeypatch):
    def slower(*arguments, **options):
        fp32, int8 = (
            Measurement(label, speed, Latency(1, 1, 1), 1, 1.0, (0,))
            for label, speed in (("FP32", 100.0), ("INT8", 80.0))
        )
        return PairResult(fp32, int8, 0.8, (0.75, 0.85), 4, 1.0, 1, 1, Noise(0.0, 0.0, 0.0, None))

    monkeypatch.setattr(measure, "measure_pair", slower)
    scores = chain([1.0], repeat(0.5))
    result = octavo.quantize(
        model, calibration=[images(8, 1)], evaluate=lambda predict: next(scores),
        approach="static", ranges="minmax", correct="none", **FAST,
    )  # fmt: skip
    assert (result.saved, result.exit_code) == ("fp32", ExitCode.TOLERANCE_NOT_REACHED)
    assert result.reason == (
        "no plan is within 1% of FP32 and faster: the most accurate of those beyond it (static "
        "minmax) has score 0.5, FP32 1, and is no faster (0.80x, 0.75 to 0.85), so the float model "
        "was kept"
    )
    report, manifest = result.to_json(), result.manifest
    assert (report["saved"], manifest.saved, report["groups"]["int8"]) == ("fp32", "fp32", 0)
    assert (report["accuracy"]["int8"], report["throughput"]["ratio"]) == (0.5, 0.8)
    assert (dict(manifest.plan.formats), manifest.ranges) == ({}, {})
    assert {row["executed"] for row in result.groups} == {"fp32"}
    conv = next(row for row in result.groups if row["kind"] == "conv")
    assert conv["reason"] == "INT8 loses more than 1%, and INT8 was not measured faster than FP32"


def test_a_metric_can_be_a_function(model):
    def mean_output(outputs, labels):
        return outputs["y"].mean(1) + 10

    result = octavo.quantize(
        model, calibration=[images(8, 1)], evaluation=[(images(6, 3), np.arange(6))],
        metric=mean_output, **FAST,
    )  # fmt: skip
    assert result.accuracy["metric"] == "mean_output"


def test_models_of_several_inputs_and_other_backends_go_the_same_way(tmp_path):
    network = attention()
    batches = [network_samples(network, 8, seed) for seed in range(3)]
    with pytest.warns(octavo.OctavoWarning, match="no evaluation data"):
        result = octavo.quantize(network, calibration=batches, output=tmp_path / "out", **FAST)
    loaded = octavo.load(tmp_path / "out")
    assert loaded.manifest.backend == "reference"
    assert loaded(batches[0]).shape == result.model(batches[0]).shape


def test_ranges_do_not_depend_on_the_batch_size(model):
    """End to end they agree within one bin of the histogram, a 2,048th of the extent."""
    calibration = [images(32, 1)]
    found = []
    for size in (1, 7, 32):
        result = octavo.quantize(
            model, calibration=calibration, evaluate=lambda predict: 1.0, batch_size=size,
            approach="static", ranges="percentile", tolerance="100 absolute", seconds=0.2,
        )  # fmt: skip
        rows = result.manifest.trials
        assert rows[0]["plan"] == "static percentile"
        found.append(result.manifest.ranges)
    for name, expected in found[0].items():
        bin_width = (expected.high - expected.low) / 1024
        for ranges in found[1:]:
            assert ranges[name].low == pytest.approx(expected.low, abs=bin_width)
            assert ranges[name].high == pytest.approx(expected.high, abs=bin_width)


@pytest.mark.usefixtures("faster")
def test_weights_have_one_scale_per_tensor_when_asked_for(model):
    result = octavo.quantize(
        model, calibration=[images(8, 1)], evaluate=lambda predict: 1.0, per_channel=False,
        approach="static", ranges="minmax", **FAST,
    )  # fmt: skip
    assert result.manifest.notes == ()
    assert [row["plan"] for row in result.manifest.trials] == ["static minmax"]
    formats = result.manifest.plan.formats.values()
    assert all(form.weight is None or form.weight.axis is None for form in formats)


def test_a_backend_without_one_scale_per_tensor_is_not_silent():
    network = convnet()
    batches = [network_samples(network, 8, seed) for seed in range(2)]
    with pytest.warns(octavo.OctavoWarning, match="per tensor is not offered for stem"):
        octavo.quantize(
            network, calibration=batches, evaluate=lambda predict: 1.0, per_channel=False,
            approach="static", ranges="minmax", **FAST,
        )  # fmt: skip


def test_an_unknown_option_is_named(model):
    with pytest.raises(UsageError, match="did you mean 'threads'"):
        octavo.quantize(model, thread=2)


def test_a_job_runs_as_the_keywords_do(model, tmp_path):
    onnx.save(model, tmp_path / "net.onnx")
    np.save(tmp_path / "cal.npy", images(8, 1))
    job = QuantizeJob(
        source=tmp_path / "net.onnx",
        calibration=tmp_path / "cal.npy",
        output=tmp_path / "out",
        seconds=0.3,
    )
    with pytest.warns(octavo.OctavoWarning, match="no evaluation data"):
        result = octavo.run_job(job)
    manifest = open_artifact(tmp_path / "out").manifest
    assert QuantizeJob(**manifest.job) == job
    assert manifest.measurements == {key: result.to_json()[key] for key in manifest.measurements}


def test_explain_takes_a_model_in_memory():
    explanation = octavo.explain(convnet())
    assert explanation.basis == "plan"
    assert {row["id"]: row["requested"] for row in explanation.groups}["stem"] == "int8"


def test_the_package_offers_what_it_names():
    assert all(getattr(octavo, name) is not None for name in octavo.__all__)
    with pytest.raises(AttributeError, match="quantise"):
        _ = octavo.quantise
