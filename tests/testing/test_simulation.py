"""The quantize-dequantize simulation that built models are compared with."""

from dataclasses import replace

import numpy as np
import pytest

from octavo.backends.registry import get_backend
from octavo.plan import S8, U8, Format, Plan, Range
from octavo.target import Target
from octavo.testing import NETWORKS, Layer
from octavo.testing.evaluator import evaluate
from octavo.testing.networks import samples
from octavo.testing.simulation import Simulation, rounded, rounded_weight, sqnr


def simulation(name: str, plan: Plan, ranges: dict[str, Range]) -> Simulation:
    network, backend = NETWORKS[name](), get_backend("reference")
    graph = backend.graph(backend.load(network), Target())
    return Simulation(network, graph, plan, ranges, str)


@pytest.mark.parametrize("name", NETWORKS)
def test_float_plan_simulates_the_network_itself(name: str) -> None:
    network = NETWORKS[name]()
    batch = samples(network, 2)
    values, expected = simulation(name, Plan(), {}).run(batch), evaluate(network, batch)
    assert all(np.array_equal(values[key], expected[key]) for key in expected)


def test_quantized_input_and_weight_round_and_the_float_output_does_not() -> None:
    network = NETWORKS["mlp"]()
    batch, ranges = samples(network, 4), {"features": Range(-2, 2)}
    chosen = Format("int8", S8, (U8,), (None,))
    found = simulation("mlp", Plan({"hidden": chosen}), ranges).run(batch)["hidden_relu.out"]
    layer = network.layers[0]
    features = rounded(batch["features"], ranges["features"], U8)
    weight, bias = network.constants(layer)
    expected = np.maximum(features @ rounded_weight(layer, weight, S8).T + bias, 0)
    assert np.allclose(found, expected, atol=1e-5)
    assert np.abs(features).max() <= 4 / 255 * 128


def test_quantized_output_lies_on_the_grid_of_its_range() -> None:
    network = NETWORKS["mlp"]()
    ranges = {"features": Range(-3, 3), "output.out": Range(0, 2.55)}
    everything = Plan({"output": Format("int8", S8, (None,), (U8,))})
    found = simulation("mlp", everything, ranges).run(samples(network, 4))["output.out"]
    assert set(np.rint(found.ravel() * 100)) <= set(range(256))
    assert np.allclose(found * 100, np.rint(found * 100), atol=1e-3)


def test_scale_per_channel_follows_the_output_channels_of_a_matmul() -> None:
    weight = np.array([[1.0, 100.0], [0.3, 50.0]], np.float32)
    layer = Layer("m", "matmul", ("x",), "y", ("w",))
    coarse = rounded_weight(layer, weight, S8)
    fine = rounded_weight(layer, weight, replace(S8, axis=0))  # the backend's axis may be another
    assert coarse[1, 0] == 0
    assert fine[1, 0] == pytest.approx(0.3, abs=0.5 / 127)


def test_sqnr_is_ten_decibels_per_tenfold_noise_power() -> None:
    signal = np.full(4, 10.0)
    assert sqnr(signal + 1.0, signal) == pytest.approx(20)
    assert sqnr(signal + 0.1, signal) == pytest.approx(40)
    assert sqnr(signal, signal) == 300
