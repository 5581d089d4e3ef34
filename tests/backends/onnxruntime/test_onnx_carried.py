"""Models that ONNX Runtime's own quantizer, or another one, has quantized before."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from collections import Counter

import numpy as np
import onnx
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper, numpy_helper
from onnx_case import (
    BACKEND,
    TARGET,
    Case,
    canonical,
    constants,
    images,
    noise,
    planned_case,
    rows,
    run,
    sqnr,
    words,
)
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

import octavo
from octavo.backends.onnxruntime.carried import INTEGER, PART, QUANTIZED, STORED
from octavo.backends.onnxruntime.unquantize import interval_of
from octavo.backends.reference import ReferenceBackend
from octavo.errors import ModelError, UsageError
from octavo.search.initial import initial_plan
from octavo.testing.networks import convnet as reference_convnet

QDQ, QOPERATOR = QuantFormat.QDQ, QuantFormat.QOperator
BATCH = images(8, 3, 16)


class Reader(CalibrationDataReader):
    """Gives one batch to ONNX Runtime's calibrator."""

    def __init__(self, batch):
        self.batches = [batch]

    def get_next(self):
        return self.batches.pop() if self.batches else None


def quantized(proto, batch, folder, **options):
    """Return what `quantize_static` makes of a model; U8 activations and S8 weights by default."""
    logging.disable(logging.WARNING)
    onnx.save(proto, folder / "float.onnx")
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(folder / "float.onnx", folder / "quantized.onnx", Reader(batch),
                        **types | options)  # fmt: skip
    logging.disable(logging.NOTSET)
    return onnx.load(folder / "quantized.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quantized")


@pytest.fixture(scope="module")
def qdq(folder):
    return quantized(convnet(), BATCH, folder, quant_format=QDQ, per_channel=True)


@pytest.fixture(scope="module")
def partial(folder):
    """The network with its head and the last two convolutions left in float."""
    kept = ["head", "left", "right", "join", "average", "global", "flat", "left_r", "right_r"]
    return quantized(convnet(), BATCH, folder, quant_format=QDQ, nodes_to_exclude=kept)


@pytest.fixture
def always_faster(monkeypatch):
    """Keep INT8 whatever the measurement of a tiny model says."""
    monkeypatch.setattr("octavo.workflow.measure.Throughput.faster", True)


@pytest.fixture(scope="module")
def qlinear(folder):
    return quantized(convnet(), BATCH, folder, quant_format=QOPERATOR)


def refusals(proto):
    graph = BACKEND.graph(BACKEND.load(proto), TARGET)
    return {group.id: group.refusal for group in graph.groups}


class TestLeftAlone:
    def test_every_group_says_that_it_is_quantized(self, qdq):
        found = refusals(qdq)

        assert {found[name] for name in ("stem", "depthwise", "head", "residual")} == {QUANTIZED}
        assert found["image_QuantizeLinear"] == found["stem_w_DequantizeLinear"] == PART
        assert set(found.values()) == {QUANTIZED, PART}

    def test_the_graph_says_what_to_do(self, qdq):
        count = sum("quantizeLinear" in node.op_type.replace("Q", "q") for node in qdq.graph.node)
        quantized = BACKEND.graph(BACKEND.load(qdq), TARGET).quantized

        assert f"{count} QuantizeLinear and DequantizeLinear" in quantized
        assert "--requantize" in quantized

    def test_a_float_model_says_nothing(self):
        assert BACKEND.graph(BACKEND.load(convnet()), TARGET).quantized is None

    def test_quantizing_it_again_is_refused_with_what_to_do(self, qdq):
        with pytest.raises(UsageError, match="requantize=True") as caught:
            octavo.quantize(qdq, calibration=[BATCH])

        assert "give the float model" in str(caught.value)

    def test_products_of_activations_are_quantized_too(self, folder):
        found = refusals(quantized(transformer(), words(), folder, quant_format=QDQ))

        assert found["scores"] == found["mix"] == found["q"] == QUANTIZED

    def test_a_weight_that_is_only_stored_says_so(self):
        b = Builder()
        stored = b.weight("w", np.ones((16, 8), np.int8))
        scale = b.weight("s", np.float32(0.1))
        weight = b.node("DequantizeLinear", [stored, scale], "dq")
        found = refusals(b.ending(b.node("MatMul", ["rows", weight], "y"), rows=["batch", 16]))

        assert found == {"dq": PART, "y": STORED}

    def test_the_audit_tells_what_runs_and_counts_no_borders(self, qdq):
        case = planned_case(qdq, BATCH)

        assert case.plan.formats == {}
        executed = {name: (a.executed, a.reason) for name, a in case.audit.items()}
        assert executed["stem"] == executed["left"] == ("int8", QUANTIZED)
        assert executed["image_QuantizeLinear"] == ("fp32", PART)
        assert case.built.native.original is not None
        np.testing.assert_array_equal(case.int8_outputs["head_out"], case.float_outputs["head_out"])


class TestInPart:
    def test_the_rest_is_quantized_and_the_quantization_stays(self, partial):
        before = constants(BACKEND.load(partial))
        case = planned_case(partial, BATCH)
        after = constants(case.built)
        kept = [name for name, v in before.items() if name.endswith("_scale") and v.ndim == 0]

        assert {"left", "right", "head", "join"} <= case.plan.formats.keys()
        assert case.failures == {}
        assert kept
        for name in kept:
            np.testing.assert_array_equal(after[name], before[name])
        assert case.sqnr("head_out") > 30

    def test_the_run_says_so(self, partial, always_faster):
        with pytest.warns(UserWarning, match="quantized already"):
            result = octavo.quantize(
                partial, calibration=[BATCH], tolerance="1 absolute", seconds=0.2
            )
        rows = {row["id"]: row for row in result.manifest.groups}
        assert rows["depthwise"]["executed"] == "int8"
        assert rows["depthwise"]["reason"] == QUANTIZED


def test_a_gemm_that_transposes_its_data_is_refused():
    """The operators of a quantized model are not respelled, which else takes the transposition."""
    b = Builder()
    limits = [b.weight("s", np.float32(0.03)), b.weight("z", np.uint8(128))]
    read = b.node(
        "DequantizeLinear", [b.node("QuantizeLinear", ["rows", *limits], "q"), *limits], "d"
    )
    made = b.node("Gemm", [read, b.random("w", 16, 16)], "product", transA=1)

    assert "transposes" in refusals(b.ending(made, rows=[16, 16]))["product"]


class TestIntegerOperators:
    def test_it_is_refused_by_the_names_of_its_operators(self, qlinear):
        with pytest.raises(UsageError, match="QLinearConv") as caught:
            octavo.quantize(qlinear, calibration=[BATCH])

        assert "give the float model" in str(caught.value)
        assert "requantize" not in str(caught.value)

    def test_its_groups_say_so(self, qlinear):
        found = refusals(qlinear)
        kinds = {node.name: node.op_type for node in canonical(BACKEND.load(qlinear))}

        assert {found[n] for n, kind in kinds.items() if kind.startswith("QLinear")} == {INTEGER}

    def test_it_cannot_be_turned_back(self, qlinear):
        with pytest.raises(ModelError, match="cannot be turned back"):
            octavo.quantize(qlinear, calibration=[BATCH], requantize=True)

    def test_a_dynamic_model_is_one_of_them(self, folder):
        onnx.save(transformer(), folder / "float.onnx")
        logging.disable(logging.WARNING)
        quantize_dynamic(folder / "float.onnx", folder / "dynamic.onnx")
        logging.disable(logging.NOTSET)

        with pytest.raises(UsageError, match="MatMulInteger"):
            octavo.quantize(folder / "dynamic.onnx", calibration=[words()], approach="dynamic")


OPTIONS = {
    "U8, S8 per channel": {"per_channel": True},
    "S8": {"activation_type": QuantType.QInt8},
    "symmetric": {"extra_options": {"ActivationSymmetric": True}},
    "U16": {"activation_type": QuantType.QUInt16},
    "weights by pairs": {"extra_options": {"AddQDQPairToWeight": True}},
    "pairs for every reader": {"extra_options": {"DedicatedQDQPair": True}},
}


class TestRequantized:
    @pytest.mark.parametrize("options", OPTIONS)
    @pytest.mark.parametrize(
        ("network", "batch"), [(convnet, BATCH), (transformer, words())], ids=["conv", "attention"]
    )
    def test_it_becomes_the_float_model_but_for_its_rounding(self, folder, network, batch, options):
        proto = quantized(network(), batch, folder, quant_format=QDQ, **OPTIONS[options])
        model = BACKEND.load(proto)
        float_model = BACKEND.without_quantization(model)
        output = model.outputs[0].name
        exact = run(BACKEND.load(network()), batch)[output]
        kinds = Counter(node.op_type for node in canonical(float_model))

        assert not {"QuantizeLinear", "DequantizeLinear"} & kinds.keys()
        assert sqnr(exact, run(float_model, batch)[output]) > 34
        assert float_model.inputs == model.inputs
        assert float_model.outputs == model.outputs
        plan = initial_plan(BACKEND.graph(float_model, TARGET)).plan
        case = Case(float_model, plan, batch)
        assert case.failures == {}
        assert sqnr(exact, case.int8_outputs[output]) > 30

    def test_activations_that_integers_stood_for_come_back_once(self, qdq):
        """The network has a Relu or Clip behind the stem, the four others, and the sum."""
        model = BACKEND.without_quantization(BACKEND.load(qdq))
        clips = [node for node in canonical(model) if node.op_type == "Clip"]

        assert len(clips) == 6
        graph = BACKEND.graph(model, TARGET)
        assert all(len(graph.group_by_id[name].ops) == 2 for name in ("stem", "left", "residual"))

    def test_no_clip_breaks_what_is_never_negative(self, folder):
        proto = quantized(transformer(), words(), folder, quant_format=QDQ)
        model = BACKEND.without_quantization(BACKEND.load(proto))

        assert "Clip" not in [node.op_type for node in canonical(model)]

    def test_the_model_is_not_changed(self, qdq):
        model = BACKEND.load(qdq)
        before = run(model, BATCH)["head_out"]
        BACKEND.without_quantization(model)

        np.testing.assert_array_equal(run(model, BATCH)["head_out"], before)

    def test_weights_and_biases_are_what_the_integers_stood_for(self, folder):
        b = Builder()
        proto = b.ending(b.gemm("rows", "dense", 16, 8), rows=["batch", 16])
        made = quantized(proto, rows(), folder, quant_format=QDQ, per_channel=True)
        integers = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
        model = BACKEND.without_quantization(BACKEND.load(made))
        dense = next(node for node in canonical(model) if node.op_type == "Gemm")
        weight, bias = (value.const_value.numpy() for value in dense.inputs[1:])

        assert weight.dtype == bias.dtype == np.float32
        scale = integers["dense_w_scale"][:, None]
        np.testing.assert_allclose(weight, integers["dense_w_quantized"] * scale, rtol=1e-6)
        scale = integers["dense_b_quantized_scale"]
        np.testing.assert_allclose(bias, integers["dense_b_quantized"] * scale, rtol=1e-6)

    def test_a_quantized_output_keeps_its_name(self):
        b = Builder()
        scale, zero = b.weight("s", np.float32(0.1)), b.weight("z", np.uint8(128))
        x = b.gemm("rows", "dense", 16, 8)
        b.nodes.append(helper.make_node("QuantizeLinear", [x, scale, zero], ["q"], "q"))
        b.nodes.append(helper.make_node("DequantizeLinear", ["q", scale, zero], ["end"], "dq"))
        model = BACKEND.without_quantization(BACKEND.load(b.ending("end", rows=["batch", 16])))

        assert [node.op_type for node in canonical(model)] == ["Gemm"]
        assert run(model, rows())["end"].shape == (4, 8)

    def test_integers_that_the_model_reads_or_returns_stay(self):
        b = Builder()
        scale, zero = b.weight("s", np.float32(0.1)), b.weight("z", np.uint8(128))
        x = b.node("DequantizeLinear", ["bytes", scale, zero], "in")
        y = b.node("QuantizeLinear", [b.gemm(x, "dense", 16, 8), scale, zero], "out")
        proto = b.ending(y, bytes=(TensorProto.UINT8, ["batch", 16]))
        model = BACKEND.without_quantization(BACKEND.load(proto))
        batch = {"bytes": np.arange(64, dtype=np.uint8).reshape(4, 16)}

        assert [n.op_type for n in canonical(model)] == [
            "DequantizeLinear", "Gemm", "QuantizeLinear"
        ]  # fmt: skip
        np.testing.assert_array_equal(
            run(model, batch)["out_out"], run(BACKEND.load(proto), batch)["out_out"]
        )

    def test_a_whole_run(self, qdq, tmp_path, always_faster):
        with pytest.warns(UserWarning, match="old rounding"):
            result = octavo.quantize(
                qdq, calibration=[BATCH], requantize=True, tolerance="1 absolute", seconds=0.2
            )
        assert result.manifest.job["requantize"] is True
        executed = {row["id"]: row["executed"] for row in result.manifest.groups}
        assert set(executed.values()) == {"int8"}
        onnx.save(qdq, tmp_path / "qdq.onnx")
        result.save(tmp_path / "int8")
        compared = octavo.compare(tmp_path / "qdq.onnx", tmp_path / "int8", data=[BATCH])
        assert next(row.sqnr_db for row in compared.differences if row.is_output) > 25

    def test_a_float_model_is_refused(self):
        with pytest.raises(UsageError, match="carries no quantization"):
            octavo.quantize(convnet(), calibration=[BATCH], requantize=True)

    def test_a_backend_that_cannot_is_named(self, monkeypatch):
        monkeypatch.setattr(
            "octavo.workflow.quantize.find_backend", lambda source, runtime=None: ReferenceBackend()
        )
        with pytest.raises(UsageError, match="the reference backend cannot"):
            octavo.quantize(reference_convnet(), requantize=True)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda b: b.node("Relu", ["rows"], "y"), (0, np.inf)),
        (lambda b: b.relu6("rows", "y"), (0, 6)),
        (lambda b: b.node("Sigmoid", ["rows"], "y"), (0, 1)),
        (lambda b: b.node("Tanh", ["rows"], "y"), (-1, 1)),
        (lambda b: b.node("Neg", ["rows"], "y"), (-np.inf, np.inf)),
        (lambda b: b.reshape(b.node("Relu", ["rows"], "r"), "y", -1, 8), (0, np.inf)),
        (
            lambda b: b.node(
                "Add", [b.weight("one", np.float32(1)), b.node("Erf", ["rows"], "e")], "y"
            ),
            (0, 2),
        ),
        (
            lambda b: b.node(
                "Concat", [b.relu6("rows", "c"), b.node("Tanh", ["rows"], "t")], "y", axis=1
            ),
            (-1, 6),
        ),
    ],
)
def test_the_interval_of_a_value(build, expected):
    b = Builder()
    model = BACKEND.load(b.ending(build(b), rows=["batch", 16]))

    assert interval_of(canonical(model).outputs[0]) == expected


def test_the_command_line_refuses_it_in_one_line(qdq, tmp_path):
    onnx.save(qdq, tmp_path / "qdq.onnx")
    np.savez(tmp_path / "data.npz", image=noise(8, 3, 16, 16))
    command = [sys.executable, "-m", "octavo.cli", "quantize", "qdq.onnx", "-o", "out",
               "--calibration", "data.npz", "--json"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 2
    assert "--requantize" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "out").exists()
