"""Detectors keep their boxes: what decodes and joins them stays in float, by structure alone."""

from __future__ import annotations

from pathlib import Path

import detectors
import numpy as np
import onnx
import pytest
from onnx_case import BACKEND, Case, all_static, planned_case

from octavo.plan import Plan
from octavo.search.initial import initial_plan
from octavo.search.results import RESULTS
from octavo.target import Target

IMAGE = np.random.default_rng(0).random((1, 3, detectors.IMAGE, detectors.IMAGE), np.float32)
EXPORTS = Path(__file__).parent / "exports"

NETWORKS = {
    "ssd": (detectors.ssd, 0, np.s_[...]),
    "yolo": (detectors.yolo, 0, np.s_[..., :4]),
    "distances": (detectors.distances, 0, np.s_[:, :4]),
    "two_stages": (detectors.two_stages, 0, np.s_[...]),
}
"""Networks with the index of the output that holds boxes in pixels, and where they are in it."""


def cases(proto, batch):
    """Return the planned case, that of linear groups alone, and that of all that can be INT8."""
    model = BACKEND.load(proto)
    target = Target(threads=1, shapes={name: array.shape for name, array in batch.items()})
    graph = BACKEND.graph(model, target)
    planned = initial_plan(graph).plan
    linear = {n: f for n, f in planned.formats.items() if graph.group_by_id[n].role == "compute"}
    plans = planned, Plan(linear), all_static(graph)
    return [Case(model, plan, batch, target) for plan in plans]


def error(case, output, where):
    """Return the mean and the 95th percentile of how far the values of an output move."""
    name = case.model.outputs[output].name
    moved = np.abs(case.float_outputs[name][where] - case.int8_outputs[name][where])
    return float(moved.mean()), float(np.percentile(moved, 95))


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    make, output, where = NETWORKS[request.param]
    return cases(make(), {"image": IMAGE}), output, where


class TestBoxes:
    def test_they_move_no_further_than_by_the_features(self, network):
        (planned, linear, _), output, where = network

        mean, most = error(planned, output, where)
        at_least, at_least_most = error(linear, output, where)
        assert mean < at_least + 0.1
        assert most < at_least_most + 0.5

    def test_they_would_move_further_in_integers(self, network):
        (planned, _, everything), output, where = network

        assert error(everything, output, where)[0] > 1.15 * error(planned, output, where)[0]

    def test_it_executes_as_planned(self, network):
        (planned, _, _), _, _ = network

        assert planned.failures == {}
        assert any(not form.is_float for form in planned.plan.formats.values())


def test_scores_beside_boxes_keep_their_digits():
    """In one output of boxes in pixels and scores, a step of 8 bits is more than a score."""
    planned, _, everything = cases(detectors.yolo(), {"image": IMAGE})
    scores = np.s_[..., 4:]

    assert error(planned, 0, scores)[1] < 0.01
    assert error(everything, 0, scores)[0] > 0.1


def test_everything_behind_the_heads_is_float_for_one_reason_or_follows_it():
    graph = BACKEND.graph(BACKEND.load(detectors.yolo()), Target())
    initial = initial_plan(graph)
    heads = [g for g in graph.groups if g.kind == "conv"]
    behind = [g for g in graph.groups if g.id not in initial.plan.formats]

    assert initial.plan.formats.keys() == {group.id for group in heads}
    assert {graph.op_by_name[g.id].native for g in behind} >= {"Sigmoid", "Slice", "Concat", "Mul"}
    why = {initial.reasons[group.id] for group in behind if group.formats}
    assert why == {RESULTS, "what it reads is float", "what it makes is only read in float"}


def test_a_fixed_convolution_that_decodes_is_float():
    graph = BACKEND.graph(BACKEND.load(detectors.distances()), Target())
    fixed = next(op.name for op in graph.ops if op.weights == ("expectation",))

    assert initial_plan(graph).reasons[fixed] == RESULTS


def test_proposals_are_decoded_in_float_though_a_second_stage_computes_with_them():
    graph = BACKEND.graph(BACKEND.load(detectors.two_stages()), Target())
    initial = initial_plan(graph)
    chosen = {graph.op_by_name[name].native for name in initial.plan.formats}

    assert {"Conv", "Gemm"} <= chosen
    assert not chosen & {"Add", "Mul", "Concat", "Sigmoid", "Clip"}


def test_heads_of_several_scales_have_ranges_of_their_own():
    """They are joined in float, so that nothing ties them."""
    planned, _, _ = cases(detectors.ssd(suppress=False), {"image": IMAGE})
    heads = [g.outputs[0] for g in planned.graph.groups if g.kind == "conv"][-4:]
    tied = planned.graph.ties.values()

    assert any(len(set(heads) & set(names)) > 1 for names in tied)
    assert len({planned.ranges[name] for name in heads}) == 4


@pytest.mark.parametrize("name", ["tf2onnx_ssd_13", "tf2onnx_ssd_combined_16"])
def test_an_exported_detector_keeps_its_boxes(name):
    """Its boxes are shares of the image: 0.01 is three of 300 pixels."""
    proto = onnx.load(EXPORTS / f"{name}.onnx")
    image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    planned, linear, everything = cases(proto, {"image": image})
    raw = [spec.name for spec in planned.model.outputs].index("raw")

    mean, most = error(planned, raw, np.s_[...])
    assert most < error(linear, raw, np.s_[...])[1] + 0.01
    assert mean < error(everything, raw, np.s_[...])[0] / 2
    assert planned.failures == {}


def test_an_exported_head_keeps_its_scores():
    proto = onnx.load(EXPORTS / "torch_detector_dynamo_18.onnx")
    case = planned_case(
        proto, {"image": np.random.default_rng(0).random((2, 3, 64, 64), np.float32)}
    )
    found = np.abs(case.float_outputs["found"] - case.int8_outputs["found"])

    assert found[..., 4:].max() < 0.05
    assert np.percentile(found[..., :4], 95) < 1.0
