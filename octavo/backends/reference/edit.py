"""Changes to a float network: other constants, new biases, products by constant factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from octavo.arrays import Array
from octavo.backends.base import Bias, Change, Edit, Multiply
from octavo.backends.reference.linear import linear_of
from octavo.backends.reference.network import Layer, Network
from octavo.errors import ModelError, nearest


def edited(network: Network, edits: Sequence[Change]) -> Network:
    """Return a network with changes; `Backend.edit`."""
    for one in edits:
        match one:
            case Edit():
                network = _replaced(network, one)
            case Bias():
                network = _biased(network, one)
            case Multiply():
                network = _multiplied(network, one)
    return network


def constant(weights: Mapping[str, Array], name: str) -> Array:
    """Return a constant by name.

    Raises:
        ModelError: there is none.
    """
    if name not in weights:
        raise ModelError(f"the model has no constant {name!r}{nearest(name, weights)}")
    return weights[name]


def _replaced(network: Network, one: Edit) -> Network:
    _check(one.weight, one.value, constant(network.weights, one.weight))
    return replace(network, weights={**network.weights, one.weight: one.value.copy()})


def _biased(network: Network, one: Bias) -> Network:
    layer = _layer(network, one.op)
    linear = linear_of(layer, network)
    if linear is None:
        raise ModelError(f"layer {one.op!r} does not multiply by a constant weight")
    channels = network.weights[linear.weight].shape[linear.output_axis]
    _check(f"bias of {one.op}", one.value, np.empty(channels, np.float32))
    name = f"{one.op}:bias"
    own = replace(layer, weights=(linear.weight, name))
    layers = tuple(own if other is layer else other for other in network.layers)
    return replace(network, layers=layers, weights={**network.weights, name: one.value.copy()})


def _layer(network: Network, name: str) -> Layer:
    known = {layer.name: layer for layer in network.layers}
    if name not in known:
        raise ModelError(f"the model has no layer {name!r}{nearest(name, known)}")
    return known[name]


def _multiplied(network: Network, one: Multiply) -> Network:
    for name in one.readers:
        _check_reader(network, _layer(network, name), one)
    if one.factor.ndim != 1 or one.factor.dtype != np.float32:
        got = f"{one.factor.dtype}{one.factor.shape}"
        raise ModelError(f"factors of {one.tensor!r} are float32, one per channel; got {got}")
    name = f"{one.tensor}:scaled"
    made = Layer(name, "scale", (one.tensor,), name, (f"{name}:factor",), {"axis": one.axis})
    layers: list[Layer] = []
    for layer in network.layers:
        if layer.name in one.readers:
            if made not in layers:
                layers.append(made)
            read = tuple(name if tensor == one.tensor else tensor for tensor in layer.inputs)
            layer = replace(layer, inputs=read)
        layers.append(layer)
    weights = {**network.weights, f"{name}:factor": one.factor.copy()}
    return replace(network, layers=tuple(layers), weights=weights)


def _check_reader(network: Network, layer: Layer, one: Multiply) -> None:
    if one.tensor not in layer.inputs:
        raise ModelError(f"layer {layer.name!r} does not read {one.tensor!r}")
    linear = linear_of(layer, network)
    if linear is None or layer.inputs[0] != one.tensor:
        return
    channels = linear.groups * network.weights[linear.weight].shape[linear.input_axis]
    if one.factor.size != channels:
        raise ModelError(
            f"{one.tensor!r} has {channels} channels, the edit {one.factor.size} factors"
        )


def _check(name: str, new: Array, old: Array) -> None:
    if (new.shape, new.dtype) != (old.shape, old.dtype):
        raise ModelError(
            f"the new value of {name!r} is {new.dtype}{new.shape}; expected {old.dtype}{old.shape}"
        )
