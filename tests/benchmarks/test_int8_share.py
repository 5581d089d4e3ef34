"""The audited INT8 share of the networks that the benchmarks measure; what stays float is named."""

from __future__ import annotations

import onnx
import pytest

from benchmarks import onnx_models
from benchmarks.inputs import random_inputs
from benchmarks.networks import NETWORKS, VARIANTS
from octavo.backends.registry import get_backend
from octavo.search.initial import Approach
from octavo.target import Target

TEXT = ("bert_base", "distilbert_base", "mobilebert", "roberta_base")
STATIC = ["scenes", *NETWORKS, *VARIANTS]
TARGET = Target(threads=1)


def audited_share(name: str, approach: Approach, runtime: str = "onnxruntime") -> dict[str, object]:
    proto: onnx.ModelProto = onnx_models.network(name)
    backend = get_backend(runtime)
    model = backend.load(proto)
    samples = onnx_models.data(name, model, "calibration")
    made = onnx_models.octavo_int8(backend, model, approach, samples, TARGET)
    batch = random_inputs(model.inputs, 1, seed=2)
    audits = backend.audit(model, made.chosen.plan, made.model, batch, TARGET)
    return onnx_models.int8_share(made, audits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "approach"),
    [*((name, "static") for name in STATIC), *((name, "dynamic") for name in TEXT)],
)
def test_nearly_all_multiply_adds_execute_in_int8(name: str, approach: Approach) -> None:
    found = audited_share(name, approach)

    assert found["share"] >= onnx_models.GOAL, found["exceptions"]
    named = sum(exception["share"] for exception in found["exceptions"])
    assert found["share"] + named == pytest.approx(1)
    assert all(one["reason"] != "no reason was given" for one in found["exceptions"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "bert_base"])
def test_so_they_do_in_openvino(name: str) -> None:
    found = audited_share(name, "static", "openvino")

    assert found["share"] >= onnx_models.GOAL, found["exceptions"]
