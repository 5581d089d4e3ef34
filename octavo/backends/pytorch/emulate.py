"""oneDNN's integer operators in float: what they compute, written down a second time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from octavo.backends.pytorch.program import Program

onednn = torch.ops.onednn
ACTIVATIONS: Mapping[str, Callable[..., Tensor]] = {
    "none": lambda values, numbers, algorithm: values,
    "relu": lambda values, numbers, algorithm: values.relu(),
    "hardtanh": lambda values, numbers, algorithm: functional.hardtanh(values, *numbers),
    "hardswish": lambda values, numbers, algorithm: functional.hardswish(values),
    "swish": lambda values, numbers, algorithm: functional.silu(values),
    "gelu": lambda values, numbers, algorithm: functional.gelu(values, approximate=algorithm),
}


def emulated(program: Program) -> fx.GraphModule:
    """Return a module that computes a built program without its integer kernels."""
    changed = program.copy()
    for node in changed.graph.nodes:
        node.target = EMULATED.get(node.target, node.target)
    return fx.GraphModule(dict(changed.constants), changed.graph)


def has_kernels(program: Program) -> bool:
    """Return whether a program holds integer kernels."""
    return any(node.target in EMULATED for node in program.graph.nodes)


def _keep(weight: Tensor, *rest: Any) -> Tensor:
    return weight


def _convolve(*args: Any) -> Tensor:
    """Compute `onednn::qconv_pointwise`."""
    return _leave(_convolution(args[:7], args[7:11]), *args[11:])


def _convolve_and_add(*args: Any) -> Tensor:
    """Compute `onednn::qconv2d_pointwise.binary`, which adds its seventh argument."""
    made = _convolution((*args[:6], args[7]), args[8:12])
    summand, scale, zero_point = args[6], args[15], args[16]
    return _leave(made + (summand.float() - zero_point) * scale, *args[12:15], *args[19:])


def _convolution(entering: tuple[Any, ...], geometry: tuple[Any, ...]) -> Tensor:
    values, weight, bias = _real(*entering)
    convolve = functional.conv1d if values.ndim == 3 else functional.conv2d
    return convolve(values, weight, bias, *geometry)


def _multiply(*args: Any) -> Tensor:
    """Compute `onednn::qlinear_pointwise`."""
    return _leave(functional.linear(*_real(*args[:7])), *args[7:])


def _real(
    integers: Tensor, scale: Any, zero_point: Any, weight: Tensor, scales: Tensor, zeros: Tensor,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """Return the values that integers stand for, and those of a weight."""
    shape = (-1, *[1] * (weight.ndim - 1))
    values = (integers.float() - float(zero_point)) * float(scale)
    return values, weight.float() * scales.reshape(shape), bias


def _leave(
    values: Tensor, scale: float, zero_point: int, dtype: torch.dtype, activation: str,
    numbers: list[float], algorithm: str,
) -> Tensor:  # fmt: skip
    made = ACTIVATIONS[activation](values, numbers, algorithm)
    if dtype != torch.uint8:
        return made
    return ((made / scale).round() + zero_point).clamp(0, 255).to(torch.uint8)


EMULATED: Mapping[Any, Callable[..., Any]] = {
    onednn.qconv_prepack.default: _keep,
    onednn.qlinear_prepack.default: _keep,
    onednn.qconv_pointwise.default: _convolve,
    onednn.qconv2d_pointwise.binary: _convolve_and_add,
    onednn.qlinear_pointwise.default: _multiply,
    onednn.qlinear_pointwise.tensor: _multiply,
}
