"""All corrections in turn: each is kept where the INT8 outputs come nearer to FP32, and says so."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import BACKEND, TARGET, Small, deep

from octavo.backends.reference import ReferenceBackend
from octavo.correct import channels, correct, pipeline
from octavo.correct.check import output_errors
from octavo.plan import CORRECTIONS
from octavo.testing.networks import NETWORKS
from octavo.testing.simulation import sqnr


def corrected(small, *methods, **changes):
    return correct(replace(small.task, **changes), methods, calibrate=small.ranges)


def quality(small, found):
    """Return the SQNR of the INT8 form on samples that nothing was made from."""
    built = BACKEND.build(found.model, small.plan, found.ranges, TARGET)
    return sqnr(small.run(built), small.run(small.model))


def test_no_correction_leaves_the_model_and_its_ranges(convnet):
    found = corrected(convnet)
    assert found.model is not None
    assert (found.record, found.scales) == ({}, {})
    assert BACKEND.graph(found.model, TARGET).fingerprint == convnet.graph.fingerprint
    assert found.ranges == convnet.ranges(convnet.model, convnet.graph)


def test_all_corrections_together_recover_what_unequal_channels_lose(convnet):
    naive, best = (
        quality(convnet, corrected(convnet)),
        quality(convnet, found := corrected(convnet, *CORRECTIONS)),
    )
    assert best > naive + 12
    assert list(found.record) == list(CORRECTIONS)
    assert found.record["equalize"]["kept"]


@pytest.mark.parametrize("method", ["round", "bias"])
def test_each_correction_alone_brings_a_deep_network_nearer(residual, method):
    assert quality(residual, corrected(residual, method)) > quality(residual, corrected(residual))


def test_the_error_in_the_record_is_that_of_the_outputs(residual):
    found = corrected(residual, "round")
    before, after = found.record["round"]["output_error"]
    small = replace(residual, count=96)
    for model, error in ((small.model, before), (found.model, after)):
        built = BACKEND.build(model, small.plan, found.ranges, TARGET)
        errors = output_errors(BACKEND, small.model, built, small.batches(), TARGET)
        assert errors == pytest.approx({"c5s.out": error})


@pytest.mark.parametrize("method", ["equalize", "smooth", "round", "bias"])
def test_what_makes_it_worse_is_not_kept_and_the_record_says_so(monkeypatch, convnet, method):
    """Errors grow with every call: whatever is tried comes out worse than what there was."""
    grown = iter(range(1, 100))
    monkeypatch.setattr(pipeline, "_error", lambda setup, model: float(next(grown)))
    found = corrected(convnet, method)
    assert found.record[method]["kept"] is False
    assert found.scales == {}
    assert BACKEND.graph(found.model, TARGET).fingerprint == convnet.graph.fingerprint
    if method != "smooth":
        assert found.record[method]["output_error"] == [1.0, 2.0]
    else:
        assert found.record[method]["reason"] == "no channels can be scaled"


def test_an_error_that_is_not_finite_keeps_nothing(monkeypatch, convnet):
    errors = iter([0.1, math.inf])
    monkeypatch.setattr(pipeline, "_error", lambda setup, model: next(errors))
    assert corrected(convnet, "round").record["round"]["kept"] is False


class WrongSide(ReferenceBackend):
    """Writes the first weight of an edit in reversed order: factors go to other channels."""

    def edit(self, model, edits):
        first, *others = edits
        return super().edit(model, [replace(first, value=first.value[::-1].copy()), *others])


def test_scaling_that_changed_the_function_is_left_out_and_said(convnet):
    scaled = channels.scale_channels(replace(convnet.task, backend=WrongSide()), ["equalize"])
    assert scaled.model is convnet.task.model or scaled.scales == {}
    found = corrected(convnet, "equalize", backend=WrongSide())
    assert found.record["equalize"]["kept"] is False
    assert "changed the outputs of the FP32 model" in found.record["equalize"]["reason"]
    assert BACKEND.graph(found.model, TARGET).fingerprint == convnet.graph.fingerprint


@given(st.sampled_from(["convnet", "attention", "mlp", "deep"]), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_scaled_models_compute_what_the_given_ones_did(name, seed):
    """Whatever the weights are, equalization and SmoothQuant leave the FP32 function."""
    network, rng = deep() if name == "deep" else NETWORKS[name](), np.random.default_rng(seed)
    weights = {
        key: (a * np.exp(rng.normal(size=(len(a), *[1] * (a.ndim - 1))))).astype(np.float32)
        for key, a in network.weights.items()
    }
    small = Small(replace(network, weights=weights), count=32)
    scaled = channels.scale_channels(small.task, ["equalize", "smooth"])
    expected, found = small.run(small.model), small.run(scaled.model)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
