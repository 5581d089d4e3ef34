"""Running a program layer by layer and telling what ran."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octavo.arrays import Array, Batch
from octavo.backends.reference.integer import (
    Scales,
    compute_dynamic,
    compute_integer,
    dynamic_quantization,
)
from octavo.backends.reference.kernels import compute_float
from octavo.backends.reference.network import Layer, Network
from octavo.measure.quantization import Quantization, dequantize, quantize
from octavo.plan import Compute

BORDERS = frozenset({"quantize", "dequantize", "dynamic_round_trip"})
"""Layers between formats; they belong to no group."""


@dataclass(frozen=True)
class Program:
    """What the backend runs: a network, some of whose tensors and weights may hold integers.

    Attributes:
        network: the layers; besides the float operators it may hold those of `BORDERS`.
        quantization: what the integers of a tensor or a weight mean, by its name.
    """

    network: Network
    quantization: Mapping[str, Quantization] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """One layer that ran.

    Attributes:
        layer: which one.
        compute: the precision it ran in, told by the arrays it was given.
        seconds: how long it took.
    """

    layer: Layer
    compute: Compute
    seconds: float

    @property
    def kernel(self) -> str:
        """Name of the kernel, for example `int8_conv`."""
        op = self.layer.op
        return op if op in BORDERS else f"{self.compute}_{op}"


def execute(
    program: Program, batch: Batch, wanted: Iterable[str]
) -> tuple[dict[str, Array], list[Execution]]:
    """Run the layers that `wanted` depends on.

    Returns:
        Every tensor that was made, by name, and the layers that ran, in order.
    """
    values: dict[str, Array] = dict(batch)
    executions = []
    for layer in program.network.needed(wanted):
        inputs = [values[name] for name in layer.inputs]
        constants = program.network.constants(layer)
        compute = precision(inputs, constants)
        start = time.perf_counter()
        values[layer.output] = _run_layer(program, layer, compute, inputs, constants)
        executions.append(Execution(layer, compute, time.perf_counter() - start))
    return values, executions


def precision(inputs: list[Array], constants: list[Array]) -> Compute:
    """Return the precision that a layer computes in on these arrays."""
    if inputs[0].dtype.kind in "iu":
        return "int8"
    return "int8_dynamic" if constants and constants[0].dtype.kind in "iu" else "fp32"


def _run_layer(
    program: Program,
    layer: Layer,
    compute: Compute,
    inputs: list[Array],
    constants: list[Array],
) -> Array:
    table = program.quantization
    if layer.op in BORDERS:
        return _cross(layer, inputs[0], table)
    if compute == "fp32":
        return compute_float(layer, inputs, constants)
    weight = table[layer.weights[0]] if layer.weights else None
    if compute == "int8_dynamic" and weight is not None:
        return compute_dynamic(layer, inputs[0], constants, weight)
    entering = tuple(table[name] for name in layer.inputs)
    return compute_integer(
        layer, inputs, constants, Scales(entering, weight, table.get(layer.output))
    )


def _cross(layer: Layer, values: Array, table: Mapping[str, Quantization]) -> Array:
    if layer.op == "quantize":
        return quantize(values, table[layer.output], None)
    if layer.op == "dequantize":
        return dequantize(values, table[layer.inputs[0]], None)
    quantization = dynamic_quantization(values)
    return dequantize(quantize(values, quantization, None), quantization, None)
