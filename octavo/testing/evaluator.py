"""What a network computes, written as plainly as its definition and in double precision.

It shares no code with any backend, so that a backend that agrees with it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from octavo.arrays import Array, Batch, FloatArray
from octavo.backends.reference.network import Layer, Network


def evaluate(network: Network, batch: Batch) -> dict[str, Array]:
    """Return every tensor of a network, inputs included, by name, as float32.

    Each layer computes in float64.
    """
    values: dict[str, Array] = {name: np.asarray(array) for name, array in batch.items()}
    for layer in network.layers:
        inputs = [values[name] for name in layer.inputs]
        values[layer.output] = apply(layer, inputs, network.constants(layer))
    return values


def apply(layer: Layer, inputs: list[Array], constants: list[Array]) -> Array:
    """Return the float32 result of one layer, computed in float64."""
    operands = [np.asarray(array, np.float64) for array in (*inputs, *constants)]
    return np.asarray(_OPERATORS[layer.op](layer, *operands), np.float32)


def _conv(layer: Layer, image: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
    groups, stride = layer.number("groups", 1), layer.number("stride", 1)
    border, (height, width) = layer.number("padding", 0), weight.shape[2:]
    padded = np.pad(image, [(0, 0), (0, 0), (border, border), (border, border)])
    rows = (padded.shape[2] - height) // stride + 1
    columns = (padded.shape[3] - width) // stride + 1
    outputs = len(weight) // groups
    result = np.empty((len(image), len(weight), rows, columns))
    for row, column in np.ndindex(rows, columns):
        y, x = row * stride, column * stride
        window = padded[:, :, y : y + height, x : x + width]
        for g, part in enumerate(np.split(window, groups, axis=1)):
            channels = slice(g * outputs, (g + 1) * outputs)
            result[:, channels, row, column] = np.einsum("nchw,ochw->no", part, weight[channels])
    return result + bias[:, None, None]


def _max_pool(layer: Layer, image: FloatArray) -> FloatArray:
    size = layer.number("size", 2)
    stride = layer.number("stride", size)
    rows, columns = ((length - size) // stride + 1 for length in image.shape[2:])
    result = np.empty((*image.shape[:2], rows, columns))
    for row, column in np.ndindex(rows, columns):
        y, x = row * stride, column * stride
        result[:, :, row, column] = image[:, :, y : y + size, x : x + size].max((2, 3))
    return result


def _softmax(layer: Layer, values: FloatArray) -> FloatArray:
    exponentials = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


_OPERATORS: Mapping[str, Callable[..., FloatArray]] = {
    "conv": _conv,
    "gemm": lambda layer, values, weight, bias: values @ weight.T + bias,
    "matmul": lambda layer, first, second: first @ second,
    "scale": lambda layer, values, factor: np.moveaxis(
        np.moveaxis(values, layer.number("axis", -1), -1) * factor, -1, layer.number("axis", -1)
    ),
    "relu": lambda layer, values: np.maximum(values, 0),
    "softmax": _softmax,
    "add": lambda layer, first, second: first + second,
    "concat": lambda layer, *inputs: np.concatenate(inputs, layer.number("axis", 1)),
    "flatten": lambda layer, values: values.reshape(len(values), -1),
    "transpose": lambda layer, values: values.transpose(layer.numbers("order")),
    "max_pool": _max_pool,
    "global_average_pool": lambda layer, image: image.mean((2, 3), keepdims=True),
}
