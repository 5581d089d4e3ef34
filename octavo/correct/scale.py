"""Factors on channels: what makes a tensor is multiplied, what reads it is divided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from octavo.arrays import FloatArray
from octavo.backends.base import Backend
from octavo.correct.constants import Constants, from_blocks, to_blocks
from octavo.correct.sites import NotScalable, Site, find_site
from octavo.errors import ModelError
from octavo.graph import Graph, Linear
from octavo.model import Model


@dataclass(frozen=True)
class Scale:
    """Factors on the channels of a tensor, and of all tensors that share them.

    Attributes:
        tensor: a tensor of the graph.
        axis: the axis of its channels.
        factor: float64 `[channels]`, above zero.
    """

    tensor: str
    axis: int
    factor: FloatArray


def scaled(backend: Backend, model: Model, graph: Graph, scales: Iterable[Scale]) -> Model:
    """Return a model with scaled channels inside that computes what `model` does.

    Args:
        backend: applies the edits.
        model: the float model; not changed.
        graph: its description.
        scales: in any order; those of one site multiply.

    Raises:
        ModelError: a tensor cannot be scaled, or a factor is not above zero and finite.
    """
    constants = Constants(backend, model)
    for scale in scales:
        try:
            site = find_site(graph, constants, scale.tensor, scale.axis, scale.factor.size)
        except NotScalable as error:
            raise ModelError(f"channels of {scale.tensor!r} cannot be scaled: {error}") from None
        apply_factor(constants, graph, site, scale.factor)
    return backend.edit(model, constants.edits())


def apply_factor(constants: Constants, graph: Graph, site: Site, factor: FloatArray) -> None:
    """Scale the constants of a site, in place.

    Raises:
        ModelError: a factor is not above zero and finite, or there is not one for each channel.
    """
    if factor.shape != (site.channels,) or not np.all((factor > 0) & np.isfinite(factor)):
        raise ModelError(
            f"{next(iter(site.axes))!r} takes {site.channels} finite factors above zero, "
            f"got {factor.shape} from {factor.min(initial=np.inf)} to {factor.max(initial=0)}"
        )
    vectors = dict(site.constants)
    for name in site.makers:
        linear = graph.op_by_name[name].linear
        assert linear is not None
        constants[linear.weight] = scale_outputs(constants[linear.weight], linear, factor)
        if linear.bias is not None:
            vectors.setdefault(linear.bias, constants[linear.bias].ndim - 1)
    for name, axis in vectors.items():
        shape = [-1 if i == axis else 1 for i in range(constants[name].ndim)]
        constants[name] = constants[name] * factor.reshape(shape)
    for name in site.readers:
        linear = graph.op_by_name[name].linear
        assert linear is not None
        constants[linear.weight] = scale_inputs(constants[linear.weight], linear, 1 / factor)


def scale_outputs(weight: FloatArray, linear: Linear, factor: FloatArray) -> FloatArray:
    """Return a weight with its output channels multiplied; `factor` is `[channels]`."""
    blocks = to_blocks(weight, linear)
    groups, outputs = blocks.shape[:2]
    return from_blocks(blocks * factor.reshape(groups, outputs, 1, 1), weight.shape, linear)


def scale_inputs(weight: FloatArray, linear: Linear, factor: FloatArray) -> FloatArray:
    """Return a weight with its input channels multiplied; `factor` is `[channels]`."""
    blocks = to_blocks(weight, linear)
    groups, inputs = blocks.shape[0], blocks.shape[2]
    return from_blocks(blocks * factor.reshape(groups, 1, inputs, 1), weight.shape, linear)
