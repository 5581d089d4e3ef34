"""What torch, tf2onnx and MXNet export, taken through every step; `exports/` makes it."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_case import BACKEND, Case, run

from octavo.backends.onnxruntime.graph import IN_BODIES
from octavo.model import Model, TensorSpec
from octavo.search.initial import initial_plan
from octavo.search.results import RESULTS
from octavo.target import Target

FILES = sorted((Path(__file__).parent / "exports").glob("*.onnx"))
NAMES = [file.stem for file in FILES]
LARGEST = 100_000  # bytes that one file may have, about

WORDS, SEQUENCE, STEPS, SIDE = 96, 16, 3, 16
NOT_COMPARED = {"boxes", "classes", "scores"}
"""Outputs behind a NonMaxSuppression: which boxes survive is a matter of rank."""


def drawn(spec: TensorSpec, batch: int) -> np.ndarray:
    """Return random values for an input; sizes that are free beside the batch are `SIDE`."""
    shape = [d if isinstance(d, int) else SIDE for d in spec.shape]
    if shape and not isinstance(spec.shape[0], int):
        shape[0] = batch
    rng = np.random.default_rng([batch, *spec.name.encode()])
    if spec.name == "steps":
        return np.array(STEPS)
    if "mask" in spec.name:
        return (np.arange(SEQUENCE) < rng.integers(8, SEQUENCE, (batch, 1))).astype(np.int64)
    if spec.dtype == "int64":
        return rng.integers(0, WORDS, shape)
    # the mean is surely above 0, so that conditions choose the branch that was calibrated
    return rng.normal(0.3, size=shape).astype(np.float32)


def batch_for(model: Model, batch: int) -> dict[str, np.ndarray]:
    return {spec.name: drawn(spec, batch) for spec in model.inputs}


@functools.cache
def case_of(name: str, approach: str) -> Case:
    model = BACKEND.load(FILES[NAMES.index(name)])
    batch = batch_for(model, 4)
    target = Target(threads=1, shapes={key: array.shape for key, array in batch.items()})
    plan = initial_plan(BACKEND.graph(model, target), approach=approach).plan
    return Case(model, plan, batch, target)


def has_dynamic(name: str) -> bool:
    formats = case_of(name, "dynamic").plan.formats.values()
    return any(form.compute == "int8_dynamic" for form in formats)


DYNAMIC = [name for name in NAMES if "bert" in name or "encoder" in name or "recurrent" in name]


def test_all_exporters_and_opsets_are_there():
    opsets = {onnx.load(file).opset_import[0].version for file in FILES}

    assert {name.split("_")[0] for name in NAMES} == {"torch", "tf2onnx", "mxnet"}
    assert {name.split("_")[-2] for name in NAMES if name.startswith("torch")} == {
        "torchscript", "dynamo"
    }  # fmt: skip
    assert opsets >= {11, 12, 13, 14, 16, 17, 18, 19, 20}
    assert sum(file.stat().st_size for file in FILES) < 1_500_000


@pytest.mark.parametrize("name", NAMES)
class TestStatic:
    def test_it_executes_as_planned(self, name):
        case = case_of(name, "static")

        assert case.plan.formats
        assert case.failures == {}

    def test_it_is_close_to_the_float_model(self, name):
        case = case_of(name, "static")
        compared = case.float_outputs.keys() - NOT_COMPARED

        assert {n: case.sqnr(n) for n in compared if case.sqnr(n) < 25} == {}
        assert compared

    def test_nearly_all_linear_work_is_integer_and_the_rest_says_why(self, name):
        case = case_of(name, "static")
        linear = [group for group in case.graph.groups if group.macs]
        kept = [group for group in linear if not case.audit[group.id].executed.startswith("int8")]
        bodies = [group for group in kept if group.kind == "control"]

        excused = [g for g in kept if g.kind == "control" or "no INT8 GRU" in (g.refusal or "")]
        outside = case.graph.macs - sum(group.macs for group in excused)
        assert sum(group.macs for group in kept if group not in excused) <= 0.05 * outside
        assert {group.refusal for group in bodies} <= {IN_BODIES}
        reasons = initial_plan(case.graph).reasons
        unsaid = [g.id for g in kept if g.refusal is None and reasons.get(g.id) != RESULTS]
        assert unsaid == []

    def test_outputs_keep_names_types_and_shapes(self, name):
        case = case_of(name, "static")
        found = {n: (v.dtype, v.shape) for n, v in case.int8_outputs.items()}
        expected = {n: (v.dtype, v.shape) for n, v in case.float_outputs.items()}
        survivors = {n for n in NOT_COMPARED if "ssd" in name}  # their number depends on values

        assert list(found) == list(expected) == [spec.name for spec in case.built.outputs]
        assert {n: v for n, v in found.items() if n not in survivors} == {
            n: v for n, v in expected.items() if n not in survivors
        }
        assert case.built.inputs == case.model.inputs

    def test_it_runs_at_another_batch_size_where_that_is_free(self, name):
        case = case_of(name, "static")
        if isinstance(case.model.inputs[0].shape[0], int):
            assert "ssd" in name
            return
        rows = [0, 1, 2, 3, 0, 1, 2]
        batch = {n: array[rows] if array.ndim else array for n, array in case.batch.items()}
        found = run(case.built, batch)

        for key, values in case.int8_outputs.items():
            np.testing.assert_allclose(found[key], values[rows], rtol=1e-4, atol=1e-5)

    def test_every_operator_has_a_name_and_one_group(self, name):
        graph = case_of(name, "static").graph
        grouped = [op for group in graph.groups for op in group.ops]

        assert all(grouped)
        assert sorted(grouped) == sorted(graph.op_by_name)
        assert len(graph.op_by_name) == len(graph.ops)


@pytest.mark.parametrize("name", DYNAMIC)
class TestDynamic:
    def test_it_executes_as_planned(self, name):
        assert has_dynamic(name)
        assert case_of(name, "dynamic").failures == {}

    def test_it_is_close_to_the_float_model(self, name):
        case = case_of(name, "dynamic")

        assert {n: case.sqnr(n) for n in case.float_outputs if case.sqnr(n) < 25} == {}


def test_free_dimensions_keep_the_names_they_were_exported_with():
    model = case_of("torch_unet_torchscript_11", "static").model

    assert model.inputs[0].shape == ("batch", 3, "height", "width")


def test_weights_that_an_exporter_declared_as_inputs_are_none():
    assert [spec.name for spec in case_of("mxnet_convnet_13", "static").model.inputs] == ["data"]


def test_shapes_that_an_exporter_computes_in_the_graph_are_found():
    script, dynamo = (
        case_of(f"torch_encoder_{export}", "static").graph
        for export in ("torchscript_11", "dynamo_20")
    )

    assert script.macs == dynamo.macs > 0
