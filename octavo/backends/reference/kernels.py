"""What the layers compute, on float and integer arrays alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from octavo.arrays import Array
from octavo.backends.reference.network import Layer


def product(layer: Layer, first: Array, second: Array) -> Array:
    """Return the sums of products of a `conv`, `gemm` or `matmul` layer.

    Args:
        layer: tells which one.
        first: the first input, float or int32.
        second: the weight or the second input, of the same dtype.

    Returns:
        The sums in that dtype, without bias.
    """
    if layer.op == "conv":
        return convolve(layer, first, second)
    return first @ (second.T if layer.op == "gemm" else second)


def convolve(layer: Layer, image: Array, weight: Array) -> Array:
    """Return a grouped convolution as one matrix product per group."""
    samples, groups = image.shape[0], layer.number("groups", 1)
    channels, depth, height, width = weight.shape
    padding = layer.number("padding", 0)
    border = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    views = _windows(np.pad(image, border), (height, width), layer.number("stride", 1))
    rows, columns = views.shape[2:4]
    terms = depth * height * width
    patches = views.transpose(0, 1, 4, 5, 2, 3).reshape(samples, groups, terms, rows * columns)
    kernels = weight.reshape(groups, channels // groups, terms)
    sums: Array = kernels @ patches
    return sums.reshape(samples, channels, rows, columns)


def _windows(image: Array, size: tuple[int, int], stride: int) -> Array:
    return sliding_window_view(image, size, axis=(2, 3))[:, :, ::stride, ::stride]


def per_channel(layer: Layer, values: Array) -> Array:
    """Return values by output channel in a shape that broadcasts over the layer's output."""
    return values.reshape(-1, 1, 1) if layer.op == "conv" and values.ndim else values


def along(values: Array, axis: int, ndim: int) -> Array:
    """Return a vector in a shape that broadcasts along one axis of `ndim`."""
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


def max_pool(layer: Layer, inputs: list[Array]) -> Array:
    """Return the largest value of every window."""
    size = layer.number("size", 2)
    result: Array = _windows(inputs[0], (size, size), layer.number("stride", size)).max((-2, -1))
    return result


MOVES: Mapping[str, Callable[[Layer, list[Array]], Array]] = {
    "max_pool": max_pool,
    "concat": lambda layer, inputs: np.concatenate(inputs, layer.number("axis", 1)),
    "flatten": lambda layer, inputs: inputs[0].reshape(len(inputs[0]), -1),
    "transpose": lambda layer, inputs: inputs[0].transpose(layer.numbers("order")),
}
"""Layers that choose and move values: on integers they need one scale for all their tensors."""

PRODUCTS = frozenset({"conv", "gemm", "matmul"})


def softmax(values: Array) -> Array:
    """Return the exponentials divided by their sum over the last axis."""
    exponentials = np.exp(values - values.max(-1, keepdims=True))
    result: Array = exponentials / exponentials.sum(-1, keepdims=True)
    return result


def compute_float(layer: Layer, inputs: list[Array], constants: list[Array]) -> Array:
    """Return the float32 result of a layer on float32 inputs and constants."""
    if layer.op in MOVES:
        return MOVES[layer.op](layer, inputs)
    if layer.op in PRODUCTS:
        first, second, *bias = [*inputs, *constants]
        sums = product(layer, first, second)
        return sums + per_channel(layer, bias[0]) if bias else sums
    if layer.op == "scale":
        return inputs[0] * along(constants[0], layer.number("axis", -1), inputs[0].ndim)
    return _ELEMENTWISE[layer.op](inputs)


_ELEMENTWISE: Mapping[str, Callable[[list[Array]], Array]] = {
    "relu": lambda inputs: np.maximum(inputs[0], 0),
    "add": lambda inputs: inputs[0] + inputs[1],
    "softmax": lambda inputs: softmax(inputs[0]),
    "global_average_pool": lambda inputs: inputs[0].mean((2, 3), keepdims=True),
}

OPERATORS = frozenset({*MOVES, *PRODUCTS, *_ELEMENTWISE, "scale"})
"""Every operator of a float network."""
