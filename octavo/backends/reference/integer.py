"""The integer kernels: products summed in int32 and requantized, as ONNX's QLinear operators do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array
from octavo.backends.reference.kernels import MOVES, PRODUCTS, per_channel, product
from octavo.backends.reference.network import Layer
from octavo.measure.quantization import Quantization, quantization_of, quantize
from octavo.plan import U8, Range


@dataclass(frozen=True)
class Scales:
    """How the integers around one layer map to real values.

    Attributes:
        inputs: of each activation input.
        weight: of the constant weight, None where the layer has none.
        output: of the output, None where it is float.
    """

    inputs: tuple[Quantization, ...]
    weight: Quantization | None
    output: Quantization | None


def rescale(
    sums: Array, scale: Array | np.float32, output: Quantization | None, relu: bool
) -> Array:
    """Bring sums whose unit is `scale` to the output's integers, or to float32 where it has none.

    Rounds half to even; a ReLU is the lower bound of what follows.
    """
    if output is None:
        real = np.asarray(sums * scale, np.float32)
        return np.asarray(np.maximum(real, 0)) if relu else real
    zero_point = int(output.zero_point)
    lowest = zero_point if relu else output.scheme.qmin
    shifted = np.rint(sums * (scale / output.scale)) + zero_point
    saturated = np.clip(shifted, lowest, output.scheme.qmax)
    return np.asarray(saturated, output.zero_point.dtype)


def centred(values: Array, quantization: Quantization) -> Array:
    """Return integers less their zero point, in int32."""
    return np.asarray(values.astype(np.int32) - quantization.zero_point.astype(np.int32))


def compute_integer(
    layer: Layer, inputs: list[Array], constants: list[Array], scales: Scales
) -> Array:
    """Return the result of a layer on integer inputs.

    Args:
        layer: what to compute; the attribute `relu` fuses a ReLU behind it.
        inputs: uint8 or int8 arrays.
        constants: the int8 weight and the int32 bias in units of input scale times weight scale.
        scales: of inputs, weight and output. Layers that only move values have equal ones.
    """
    relu = bool(layer.number("relu", 0))
    if layer.op in MOVES:
        return MOVES[layer.op](layer, inputs)
    terms = [centred(values, scale) for values, scale in zip(inputs, scales.inputs, strict=True)]
    if layer.op in PRODUCTS:
        sums, scale = _accumulate(layer, terms, constants, scales)
        return rescale(sums, scale, scales.output, relu)
    if layer.op == "add":
        parts = [term * scale.scale for term, scale in zip(terms, scales.inputs, strict=True)]
        return rescale(parts[0] + parts[1], np.float32(1), scales.output, relu)
    total = terms[0].sum((2, 3), keepdims=True, dtype=np.int32)  # global_average_pool
    count = np.float32(terms[0].shape[2] * terms[0].shape[3])
    return rescale(total, scales.inputs[0].scale / count, scales.output, relu)


def _accumulate(
    layer: Layer, terms: list[Array], constants: list[Array], scales: Scales
) -> tuple[Array, Array]:
    if scales.weight is None:
        sums = product(layer, terms[0], terms[1])
        return sums, scales.inputs[0].scale * scales.inputs[1].scale
    weight, *bias = constants
    sums = product(layer, terms[0], weight.astype(np.int32))
    if bias:
        sums = sums + per_channel(layer, bias[0])
    return sums, per_channel(layer, scales.inputs[0].scale * scales.weight.scale)


def dynamic_quantization(values: Array) -> Quantization:
    """Return the 8-bit quantization of a tensor from its own smallest and largest value."""
    return quantization_of(Range(float(values.min()), float(values.max())), U8)


def compute_dynamic(
    layer: Layer, values: Array, constants: list[Array], weight: Quantization
) -> Array:
    """Return the float32 result of a product whose input is quantized here, at run time."""
    quantization = dynamic_quantization(values)
    integers = quantize(values, quantization, None)
    sums = product(layer, centred(integers, quantization), constants[0].astype(np.int32))
    scale = per_channel(layer, quantization.scale * weight.scale)
    real = rescale(sums, scale, None, relu=False)
    result = real + per_channel(layer, constants[1]) if len(constants) > 1 else real
    return np.maximum(result, 0) if layer.number("relu", 0) else result
