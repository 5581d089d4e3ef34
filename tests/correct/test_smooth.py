"""SmoothQuant: factors by the paper's formula, in a normalization or in a product put in."""

import numpy as np
from small_networks import BACKEND, TARGET, Small

from octavo.backends.reference.network import Layer, Network
from octavo.correct.channels import scale_channels
from octavo.correct.constants import Constants
from octavo.correct.factors import factors
from octavo.correct.layers import find_layers
from octavo.correct.moments import ChannelObserver
from octavo.correct.noise import Surroundings, quantized_tensors
from octavo.correct.sites import find_sites
from octavo.correct.smooth import FAMILY
from octavo.model import TensorSpec
from octavo.testing.simulation import sqnr


def outliers(strength=60.0):
    """Return two products of a tensor two of whose channels are far larger than the others.

    A softmax reads the tensor too, so that no constant before it can take factors.
    """
    rng = np.random.default_rng(1)
    gain = np.ones(16, np.float32)
    gain[[3, 11]] = strength
    layers = [Layer("s", "scale", ("x",), "s.out", ("s.gain",), {"axis": -1})]
    weights = {"s.gain": gain}
    for name in "ab":
        weight = rng.normal(size=(16, 12)) / np.sqrt(gain[:, None] * 16)
        weights[f"{name}.weight"] = weight.astype(np.float32)
        layers.append(Layer(name, "matmul", ("s.out",), f"{name}.out", (f"{name}.weight",)))
    layers.append(Layer("t", "softmax", ("s.out",), "t.out"))
    x = TensorSpec("x", "float32", ("n", 5, 16))
    return Network("outliers", (x,), ("a.out", "b.out", "t.out"), tuple(layers), weights)


def test_outlier_channels_are_smoothed_by_a_product_for_all_that_read_them():
    small = Small(outliers())
    scaled = scale_channels(small.task, ["smooth"])
    graph = BACKEND.graph(scaled.model, TARGET)
    (added,) = [op for op in graph.ops if op.name not in small.graph.op_by_name]

    assert scaled.record["smooth"]["products"] == 1
    assert (added.kind, added.inputs) == ("mul", ("s.out",))
    assert graph.op_by_name["a"].inputs == graph.op_by_name["b"].inputs == added.outputs
    assert graph.op_by_name["t"].inputs == ("s.out",)
    np.testing.assert_allclose(
        small.run(scaled.model), small.run(small.model), rtol=1e-4, atol=1e-5
    )

    def quality(model):
        built = BACKEND.build(
            model, small.plan, small.ranges(model, BACKEND.graph(model, TARGET)), TARGET
        )
        return sqnr(small.run(built), small.run(small.model))

    assert quality(scaled.model) > quality(small.model) + 6


def test_a_product_that_does_not_pay_is_not_put_in():
    small = Small(outliers(strength=1.0))
    scaled = scale_channels(small.task, ["smooth"])
    assert "products" not in scaled.record["smooth"]
    assert BACKEND.graph(scaled.model, TARGET).fingerprint == small.graph.fingerprint


def test_factors_are_those_of_equation_4():
    """s = max|X|**alpha / max|W|**(1 - alpha), up to one factor for all channels; f = 1 / s."""
    network = outliers()
    layers = tuple(layer for layer in network.layers if layer.name != "t")
    small = Small(Network("n", network.inputs, ("a.out", "b.out"), layers, network.weights))
    constants = Constants(BACKEND, small.model)
    (site,) = find_sites(small.graph, constants)
    observer = ChannelObserver(site.axes)
    small.task.observe(small.model, observer)
    layers = {layer.op.name: layer for layer in find_layers(small.graph, small.plan)}
    quantized = quantized_tensors(small.graph, small.plan)
    around = Surroundings(small.graph, constants, layers, quantized, observer.moments)

    active = observer.moments["s.out"].extent
    reading = np.max([np.abs(constants[f"{n}.weight"]).max(axis=1) for n in "ab"], axis=0)
    for (alpha, _, rest), factor in zip(FAMILY, factors(around, site, FAMILY), strict=True):
        expected = reading**rest / active**alpha
        np.testing.assert_allclose(factor / factor[0], expected / expected[0], rtol=1e-9)
        np.testing.assert_allclose((active * factor).max(), active.max(), rtol=1e-9)
