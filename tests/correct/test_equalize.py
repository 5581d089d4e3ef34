"""Cross-layer equalization: the closed form of the paper, and what is chosen by predicted noise."""

from dataclasses import replace

import numpy as np
import pytest
from small_networks import BACKEND, TARGET, Small, deep

from octavo.backends.reference.load import native
from octavo.correct import Scale, scaled
from octavo.correct.channels import scale_channels
from octavo.correct.constants import Constants
from octavo.correct.equalize import equalize_by_weights
from octavo.correct.factors import FILLED, extent_of_makers, extent_of_readers, within_bounds
from octavo.correct.moments import Moments
from octavo.correct.noise import Surroundings
from octavo.correct.sites import find_sites
from octavo.graph import Scaling
from octavo.testing.case import Recorder
from octavo.testing.networks import NETWORKS
from octavo.testing.simulation import sqnr


def by_weights(small):
    constants = Constants(BACKEND, small.model)
    sites = find_sites(small.graph, constants)
    before = [
        (extent_of_makers(constants, small.graph, s), extent_of_readers(constants, small.graph, s))
        for s in sites
    ]
    equalize_by_weights(constants, small.graph, sites)
    after = [
        (extent_of_makers(constants, small.graph, s), extent_of_readers(constants, small.graph, s))
        for s in sites
    ]
    return before, after, constants


def test_both_ranges_of_a_pair_become_their_geometric_mean():
    """Equation 11: s = sqrt(r1 * r2) / r2, after which r1 = r2 = sqrt(r1 * r2)."""
    ((first, second),), ((made, read),), _ = by_weights(Small(NETWORKS["mlp"]()))
    np.testing.assert_allclose(made, np.sqrt(first * second), rtol=1e-12)
    np.testing.assert_allclose(read, np.sqrt(first * second), rtol=1e-12)


def test_a_chain_with_a_depthwise_layer_is_equalized_throughout(convnet):
    before, after, constants = by_weights(convnet)
    assert max(np.log(a / b).std() for a, b in before) > 1
    for made, read in after:
        np.testing.assert_allclose(made, read, rtol=2e-3)
    model = BACKEND.edit(convnet.model, constants.edits())
    expected = convnet.run(convnet.model)
    np.testing.assert_allclose(convnet.run(model), expected, atol=1e-5 * np.abs(expected).max())


def test_channels_that_nothing_makes_or_reads_keep_their_scale():
    network = NETWORKS["mlp"]()
    hidden, output = (
        network.weights["hidden.weight"].copy(),
        network.weights["output.weight"].copy(),
    )
    hidden[3], output[:, 5] = 0, 0
    weights = {**network.weights, "hidden.weight": hidden, "output.weight": output}
    _, ((made, read),), constants = by_weights(Small(replace(network, weights=weights)))
    assert (made[3], read[5]) == (0, 0)
    assert np.isfinite(constants["output.weight"]).all()
    np.testing.assert_allclose(made[5], np.abs(hidden[5]).max(), rtol=1e-6)


def unequal(network, spread=2.0):
    """Return a network that computes the same with log-normal factors on all its channels."""
    small, rng = Small(network), np.random.default_rng(0)
    scales = [
        Scale(*next(iter(site.axes.items())), rng.lognormal(0, spread, site.channels))
        for site in find_sites(small.graph, Constants(BACKEND, small.model))
    ]
    return Small(native(scaled(BACKEND, small.model, small.graph, scales)).network)


@pytest.mark.parametrize("network", [NETWORKS["convnet"](), deep()], ids=["convnet", "deep"])
def test_unequal_channels_are_as_good_as_equal_ones_afterwards(network):
    small, plain = unequal(network), Small(network)

    def quality(one, model):
        built = BACKEND.build(model, one.plan, one.ranges(model, one.graph), TARGET)
        return sqnr(one.run(built), one.run(one.model))

    equalized = scale_channels(small.task, ["equalize"])
    naive, found, best = (
        quality(small, small.model),
        quality(small, equalized.model),
        quality(plain, plain.model),
    )
    assert naive < best - 6
    assert found > best - 1.5
    assert equalized.record["equalize"]["change_of_fp32"] < 1e-6


def test_noise_that_is_predicted_falls(convnet):
    record = scale_channels(convnet.task, ["equalize"]).record["equalize"]
    before, after = record["predicted_noise"]
    assert after < before / 10
    assert record["sites"] == record["scaled"] == 3


def test_the_factors_of_every_tensor_are_told(convnet):
    scaled = scale_channels(convnet.task, ["equalize"])
    axis, factor = scaled.scales["stem_relu.out"]
    shape = [-1 if i == axis else 1 for i in range(4)]
    batch = convnet.batches()[0]
    before, after = (
        watch(model, "stem_relu.out", batch) for model in (convnet.model, scaled.model)
    )
    np.testing.assert_allclose(after, before * factor.reshape(shape), rtol=1e-5, atol=1e-4)


def watch(model, tensor, batch):
    keeper = Recorder([tensor])
    BACKEND.observe(model, [batch], keeper, TARGET)
    return keeper.joined()[tensor]


def test_a_clip_keeps_the_scale_of_what_it_cuts():
    """Bounds 0 and 6: channel 0 was cut, 1 came to 3, 2 to 5.9 and 3 to nothing."""
    small = Small(NETWORKS["mlp"]())
    clip = Scaling(("hidden.out",), bounds=(0.0, 6.0))
    ops = tuple(
        replace(op, scaling=clip) if op.name == "hidden_relu" else op for op in small.graph.ops
    )
    graph = replace(small.graph, ops=ops)
    constants = Constants(BACKEND, small.model)
    (site,) = find_sites(graph, constants)
    high = np.full(32, 3.0)
    high[:4] = [7.5, 3.0, 5.9, 0.0]
    moments = {"hidden.out": Moments(-high, high, high, high, 1)}
    around = Surroundings(graph, constants, {}, {}, moments)

    factor = within_bounds(around, site, np.full(32, 4.0))
    np.testing.assert_allclose(factor[:4], [1.0, 6 * FILLED / 3, 1.0, 4.0])
    np.testing.assert_allclose(within_bounds(around, site, np.full(32, 0.5))[:3], [1.0, 0.5, 0.5])
