"""Layers as corrections see them: products with constant weights, and what scales channels."""

from __future__ import annotations

import math

from octavo.backends.reference.kernels import PRODUCTS
from octavo.backends.reference.network import Layer, Network
from octavo.graph import Linear, Scaling, Window


def linear_of(layer: Layer, network: Network) -> Linear | None:
    """Return how a layer multiplies by a constant weight, None where it does not."""
    if layer.op not in PRODUCTS or not layer.weights:
        return None
    weight, bias = layer.weights[0], layer.weights[1] if len(layer.weights) > 1 else None
    if layer.op == "conv":
        groups = layer.number("groups", 1)
        return Linear(weight, bias, 1, 0, 1, groups, _window(layer, network))
    axes = (0, 1) if layer.op == "matmul" else (1, 0)
    return Linear(weight, bias, *axes, tensor_axis=-1)


def _window(layer: Layer, network: Network) -> Window:
    kernel = network.weights[layer.weights[0]].shape[2:]
    border = layer.number("padding", 0)
    return Window(kernel, (layer.number("stride", 1),) * 2, (1, 1), ((border, border),) * 2)


def scaling_of(layer: Layer, read: tuple[int, ...]) -> Scaling | None:
    """Return how factors on channels reach the output of a layer, None where they do not.

    Args:
        layer: the layer.
        read: the shape of its first input.
    """
    match layer.op:
        case "scale":
            return Scaling(constants=layer.weights, axis=layer.number("axis", -1))
        case "relu" | "max_pool" | "global_average_pool" | "add":
            return Scaling(layer.inputs)
        case "transpose":
            order = layer.numbers("order")
            return Scaling(layer.inputs, axes=tuple((axis, i) for i, axis in enumerate(order)))
        case "flatten" if math.prod(read[2:]) == 1:
            return Scaling(layer.inputs, axes=((0, 0), (1, 1)))
    return None
