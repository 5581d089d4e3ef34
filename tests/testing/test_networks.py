"""The neutral networks and the evaluator that says what they compute."""

import numpy as np
import pytest

from octavo.model import TensorSpec
from octavo.testing import NETWORKS, Layer, Network
from octavo.testing.evaluator import apply, evaluate
from octavo.testing.networks import samples


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_the_same_every_time(name: str) -> None:
    first, second = NETWORKS[name](), NETWORKS[name]()
    assert first.layers == second.layers
    assert all(np.array_equal(first.weights[key], second.weights[key]) for key in second.weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_and_layer_counts(name: str) -> None:
    network = NETWORKS[name]()
    read = {key for layer in network.needed(network.outputs) for key in layer.weights}
    assert read == set(network.weights)
    assert network.needed(network.outputs) == network.layers


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_of_the_order_of_the_inputs(name: str) -> None:
    network = NETWORKS[name]()
    values = evaluate(network, samples(network, 16))
    for output in network.outputs:
        assert 0.1 < values[output].std() < 100


def test_branches_of_the_concat_network_have_very_different_ranges() -> None:
    network = NETWORKS["concat"]()
    values = evaluate(network, samples(network, 16))
    assert values["large_relu.out"].max() > 10 * values["small_relu.out"].max()


def test_convolution_sums_the_neighbours() -> None:
    layer = Layer("c", "conv", ("x",), "y", attributes={"padding": 1})
    ones, bias = np.ones((1, 1, 3, 3), np.float32), np.array([0.5], np.float32)
    result = apply(layer, [np.ones((1, 1, 3, 3), np.float32)], [ones, bias])
    assert result[0, 0].tolist() == [[4.5, 6.5, 4.5], [6.5, 9.5, 6.5], [4.5, 6.5, 4.5]]


def test_strided_convolution_starts_at_the_first_pixel() -> None:
    layer = Layer("c", "conv", ("x",), "y", attributes={"stride": 2})
    weight, bias = np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)
    result = apply(layer, [ramp(1, 1, 3, 4)], [weight, bias])
    assert result[0, 0].tolist() == [[0, 2], [8, 10]]


def test_grouped_convolution_keeps_groups_apart() -> None:
    layer = Layer("c", "conv", ("x",), "y", attributes={"groups": 2})
    weight = np.array([1, 2, 10, 20], np.float32).reshape(2, 2, 1, 1)
    image = np.array([1, 2, 3, 4], np.float32).reshape(1, 4, 1, 1)
    result = apply(layer, [image], [weight, np.zeros(2, np.float32)])
    assert result.ravel().tolist() == [1 * 1 + 2 * 2, 10 * 3 + 20 * 4]


def test_gemm_transposes_its_weight() -> None:
    weight = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    layer = Layer("g", "gemm", ("x",), "y")
    result = apply(
        layer, [np.array([[1, 10]], np.float32)], [weight, np.array([0, 0, 1], np.float32)]
    )
    assert result.tolist() == [[21, 43, 66]]


def test_max_pool_drops_an_incomplete_window() -> None:
    layer = Layer("p", "max_pool", ("x",), "y", attributes={"size": 2, "stride": 2})
    assert apply(layer, [ramp(1, 1, 3, 4)], []).ravel().tolist() == [5, 7]


def test_softmax_of_large_values_is_finite() -> None:
    layer = Layer("s", "softmax", ("x",), "y")
    result = apply(layer, [np.array([[1000.0, 1000.0]], np.float32)], [])
    assert result.tolist() == [[0.5, 0.5]]


def test_needed_layers_leave_out_what_nobody_reads() -> None:
    layers = (
        Layer("a", "relu", ("x",), "ax"),
        Layer("unread", "relu", ("x",), "ux"),
        Layer("b", "relu", ("ax",), "bx"),
    )
    spec = TensorSpec("x", "float32", ("samples", 2))
    network = Network("n", (spec,), ("bx",), layers, {})
    assert [layer.name for layer in network.needed(["bx"])] == ["a", "b"]
