"""Scaled channels: any positive factors leave the function as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import BACKEND, TARGET, Small, deep

from octavo.correct import Scale, scaled
from octavo.correct.constants import Constants
from octavo.correct.sites import find_sites
from octavo.errors import ModelError
from octavo.testing.networks import NETWORKS

SMALL = {
    "convnet": Small(NETWORKS["convnet"](), count=4),
    "mlp": Small(NETWORKS["mlp"](), count=4),
    "deep": Small(deep(), count=4),
}


@given(st.sampled_from(sorted(SMALL)), st.integers(0, 10_000), st.floats(0.1, 8))
@settings(deadline=None, max_examples=40)
def test_positive_factors_change_no_output(name, seed, spread):
    small, rng = SMALL[name], np.random.default_rng(seed)
    scales = []
    for site in find_sites(small.graph, Constants(BACKEND, small.model)):
        tensor = list(site.axes)[seed % len(site.axes)]
        factor = 2.0 ** rng.uniform(-spread, spread, site.channels)
        scales.append(Scale(tensor, site.axes[tensor], factor))
    expected = small.run(small.model)
    found = small.run(scaled(BACKEND, small.model, small.graph, scales))
    assert scales
    assert np.abs(found - expected).max() <= 3e-6 * np.abs(expected).max()


def test_factors_multiply_what_makes_and_divide_what_reads():
    small, factor = SMALL["mlp"], np.geomspace(0.1, 10, 32)
    model = scaled(BACKEND, small.model, small.graph, [Scale("hidden.out", 1, factor)])
    names = ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    old, new = (BACKEND.weights(m, names) for m in (small.model, model))

    np.testing.assert_allclose(new["hidden.weight"], old["hidden.weight"] * factor[:, None], 1e-6)
    np.testing.assert_allclose(new["hidden.bias"], old["hidden.bias"] * factor, 1e-6)
    np.testing.assert_allclose(new["output.weight"], old["output.weight"] / factor, 1e-6)
    assert np.array_equal(new["output.bias"], old["output.bias"])


def test_factors_of_one_site_multiply():
    small, factor = SMALL["mlp"], np.geomspace(0.1, 10, 32)
    both = [Scale("hidden.out", 1, factor), Scale("hidden_relu.out", 1, 1 / factor)]
    model = scaled(BACKEND, small.model, small.graph, both)
    assert BACKEND.graph(model, TARGET).fingerprint == small.graph.fingerprint


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
def test_factors_that_are_not_positive_are_refused(bad):
    factor = np.ones(32)
    factor[3] = bad
    with pytest.raises(ModelError, match="32 finite factors above zero"):
        scaled(BACKEND, SMALL["mlp"].model, SMALL["mlp"].graph, [Scale("hidden.out", 1, factor)])


def test_a_tensor_that_cannot_be_scaled_is_refused_with_the_reason():
    small = SMALL["mlp"]
    with pytest.raises(ModelError, match=r"'output\.out' cannot be scaled: .* border"):
        scaled(BACKEND, small.model, small.graph, [Scale("output.out", 1, np.ones(8))])
