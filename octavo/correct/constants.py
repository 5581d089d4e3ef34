"""The constants of a model while corrections change them."""

from __future__ import annotations

import math

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.backends.base import Backend, Edit
from octavo.graph import Linear
from octavo.model import Model


class Constants:
    """Float64 copies of a model's constants, fetched when first asked for.

    Several corrections of one constant add up without being rounded in between.

    Args:
        backend: reads them.
        model: the float model.
    """

    def __init__(self, backend: Backend, model: Model) -> None:
        self._backend = backend
        self._model = model
        self._given: dict[str, Array] = {}
        self._values: dict[str, FloatArray] = {}

    def __getitem__(self, name: str) -> FloatArray:
        if name not in self._values:
            self._given.update(self._backend.weights(self._model, [name]))
            self._values[name] = self._given[name].astype(np.float64)
        return self._values[name]

    def __setitem__(self, name: str, value: FloatArray) -> None:
        _ = self[name]  # the given one tells the dtype
        self._values[name] = value

    def edits(self) -> list[Edit]:
        """Return an edit for every constant that is not what it was, in its own dtype."""
        made = ((n, self._values[n].astype(given.dtype)) for n, given in self._given.items())
        return [Edit(n, value) for n, value in made if not np.array_equal(value, self._given[n])]


def block_shape(shape: tuple[int, ...], linear: Linear) -> tuple[int, int, int, int]:
    """Return groups, outputs and inputs of a group, and taps, of a weight of `shape`."""
    outputs, inputs = shape[linear.output_axis], shape[linear.input_axis]
    taps = math.prod(shape) // (outputs * inputs)
    if linear.output_axis < linear.input_axis:
        return linear.groups, outputs // linear.groups, inputs, taps
    return linear.groups, outputs, inputs // linear.groups, taps


def to_blocks(weight: Array, linear: Linear) -> FloatArray:
    """Return a weight as float64 `[groups, outputs, inputs, taps]`, channels counted per group."""
    groups, outputs, inputs, taps = block_shape(weight.shape, linear)
    moved = np.moveaxis(weight, (linear.output_axis, linear.input_axis), (0, 1))
    if linear.output_axis < linear.input_axis:
        blocks = moved.reshape(groups, outputs, inputs, taps)
    else:
        blocks = moved.reshape(outputs, groups, inputs, taps).swapaxes(0, 1)
    return np.ascontiguousarray(blocks, np.float64)


def from_blocks(blocks: FloatArray, shape: tuple[int, ...], linear: Linear) -> FloatArray:
    """Return the weight of `shape` that `to_blocks` made `blocks` of."""
    if linear.output_axis >= linear.input_axis:
        blocks = blocks.swapaxes(0, 1)
    axes = (linear.output_axis, linear.input_axis)
    moved = np.moveaxis(np.empty(shape, np.bool_), axes, (0, 1)).shape
    return np.ascontiguousarray(np.moveaxis(blocks.reshape(moved), (0, 1), axes))
