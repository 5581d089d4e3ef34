"""The benchmark of searches counts what it says, and its networks are judged rightly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import search
from benchmarks.metrics import METRICS, iou, top1
from benchmarks.models.halves import halve, whole
from benchmarks.models.tasks import BACKGROUND, labelled
from benchmarks.search import Found, Options, counted, octavo_metric, store
from benchmarks.search_subjects import MODELS, NETWORKS, outputs
from octavo.backends.registry import get_backend
from octavo.bench import ModelRef
from octavo.data.scenes import covered_blocks, scenes
from octavo.metrics import get_metric
from octavo.target import Target

BETTER = {"digit": 0.4, "quarter": 0.6, "pixels": 0.49}
"""What no network reaches that reads nothing: chance is 0.1, 0.25, and 0.46 for no digit at all."""


def one_hot(classes: np.ndarray, count: int) -> np.ndarray:
    return np.moveaxis(np.eye(count, dtype=np.float32)[classes], -1, 1)


def test_iou_is_the_mean_over_the_classes_that_a_picture_shows() -> None:
    """Of 4 pixels of the digit 3, two are found, one is missed and one taken for another digit."""
    true = np.array([[[0, 0, 0, 0], [4, 4, 4, 4]]])
    found = np.array([[[0, 0, 0, 4], [4, 4, 0, 7]]])
    (score,) = iou({"logits": one_hot(found, 11)}, true)
    assert score == pytest.approx(((3 / 5) + (2 / 5)) / 2)


def test_iou_is_a_metric_of_octavo_with_a_score_for_each_picture_and_bounds() -> None:
    metric = get_metric(octavo_metric("iou"))
    true = np.array([[[0, 4]], [[0, 1]]])
    scores = metric.update({"logits": one_hot(np.array([[[0, 4]], [[0, 0]]]), 11)}, true)
    assert scores == pytest.approx([1.0, 0.25])
    assert metric.value() == pytest.approx(0.625)
    assert metric.bounds == (0.0, 1.0)


def test_top1_is_that_of_octavo() -> None:
    outputs, labels = {"logits": np.eye(3)[[0, 1, 2, 2]]}, np.array([0, 1, 1, 2])
    assert octavo_metric("top1") == "top1"
    assert list(top1(outputs, labels)) == list(get_metric("top1").update(outputs, labels))


def test_the_class_of_a_pixel_is_the_digit_that_covers_it() -> None:
    images, classes = labelled("pixels", "calibration", 8)
    _, labels, coverage = next(covered_blocks("calibration", 8))
    assert np.array_equal(images, scenes("calibration", 8)[0])
    for made, label, cover in zip(classes, labels, coverage, strict=True):
        assert set(np.unique(made)) == {BACKGROUND, label + 1}
        assert np.array_equal(made != BACKGROUND, cover >= 0.5)
        assert 0.01 < (made != BACKGROUND).mean() < 0.4


def test_the_brightest_quarter_is_counted_by_rows() -> None:
    images, quarters = labelled("quarter", "calibration", 20)
    for image, quarter in zip(images, quarters, strict=True):
        row, column = divmod(int(quarter), 2)
        means = [image[:, r : r + 32, c : c + 32].mean() for r in (0, 32) for c in (0, 32)]
        assert means[2 * row + column] == max(means)
    assert len(set(quarters)) == 4


@pytest.mark.parametrize("name", list(NETWORKS))
def test_committed_networks_read_what_they_were_trained_to(name: str) -> None:
    network, backend = NETWORKS[name], get_backend("onnxruntime")
    images, labels = labelled(network.task, "evaluation", 100)
    model = backend.load(whole(MODELS / f"{name}.onnx"))
    scores = METRICS[network.metric](outputs(backend, model, images, Target()), labels)
    assert scores.mean() > BETTER[network.task]


def halved() -> onnx.ModelProto:
    weight = np.linspace(-3, 3, 64 * 64, dtype=np.float32).reshape(64, 64)
    constants = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.float32([1e6] * 64), "large"),
        numpy_helper.from_array(np.float32([0.1] * 8), "small"),
    ]
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 64]) for n in "xy"]
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["product", "large"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [value[0]], [value[1]], constants)
    return halve(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def test_large_constants_are_halved_where_they_fit() -> None:
    kinds = {one.name: one.data_type for one in halved().graph.initializer}
    assert kinds == {
        "weight.h": TensorProto.FLOAT16,
        "large": TensorProto.FLOAT,
        "small": TensorProto.FLOAT,
    }


def test_a_halved_network_computes_the_same_as_it_is_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(halved(), path)
    made = whole(path)
    onnx.checker.check_model(made, full_check=True)
    assert [node.op_type for node in made.graph.node] == ["MatMul", "Add"]
    backend, x = get_backend("onnxruntime"), np.random.default_rng(0).random((3, 64), np.float32)
    first, second = (
        backend.open(backend.load(one), Target()).run({"x": x})["y"]
        for one in (onnx.load(path), made)
    )
    assert np.array_equal(first, second)


def test_evaluations_are_samples_over_the_size_of_the_data() -> None:
    counts = {"samples": {"float": 2001, "int8": 7300}, "calls": 9}
    assert counted(counts, 2000) == {"evaluations": 3.65, "fp32_evaluations": 1.0, "calls": 9}


def row(network: str, tool: str, runtime: str = "onnxruntime", **more: Any) -> dict[str, Any]:
    return {"network": network, "tool": tool, "runtime": runtime, **more}


def test_rows_replace_their_own_and_keep_the_order_of_the_networks(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    store([row("lstm", "nncf", "openvino"), row("lstm", "solve", evaluations=3)], path)
    store([row("depthwise", "solve"), row("lstm", "solve", evaluations=2)], path)
    kept = json.loads(path.read_text())["rows"]
    assert [(one["network"], one["tool"]) for one in kept] == [
        ("depthwise", "solve"),
        ("lstm", "solve"),
        ("lstm", "nncf"),
    ]
    assert kept[1]["evaluations"] == 2


def test_what_solve_found_is_measured_against_what_others_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pairs = []

    def timed(
        subject: Any, baseline: ModelRef, candidate: ModelRef, options: Any
    ) -> dict[str, Any]:
        pairs.append((baseline.label, candidate.label))
        return {"ratio": 1.0}

    class Subject:
        class inputs:
            model = tmp_path / "fp32" / "model.onnx"

    monkeypatch.setattr(search, "timed", timed)
    found = [
        Found({"tool": "solve"}, ModelRef("onnxruntime", tmp_path, "solve")),
        Found({"tool": "fallback"}, None),
        Found({"tool": "tpe", "error": "none"}, None),
        Found({"tool": "nncf"}, ModelRef("openvino", tmp_path, "nncf")),
    ]
    search.measure(Subject(), found, Options("onnxruntime", 1.0, tmp_path, {}))  # type: ignore[arg-type]
    assert pairs == [("fp32", "solve"), ("fp32", "solve"), ("fp32", "nncf"), ("nncf", "solve")]
    assert "over_fp32" not in found[1].row and "solve_over_it" in found[1].row
