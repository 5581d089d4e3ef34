"""Rounding the weights of a model adaptively, layer by layer, on what its INT8 form multiplies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.backends.base import Edit
from octavo.correct.constants import block_shape, from_blocks, to_blocks
from octavo.correct.layers import Layer, step_sizes
from octavo.correct.rounding import output_error, round_weight, shrunk
from octavo.correct.sums import InputObserver, InputSums
from octavo.correct.task import Setup

ROWS = 48
"""Positions of one sample whose products are summed; that of resnet50 with 300 samples gives a
layer of 4,608 columns three times as many rows."""

WIDEST = 8192
"""Columns of the widest layer that is rounded: beyond, the matrix of products takes over 512 MB."""

MEMORY = 512 << 20
"""Bytes of the matrices of products that are collected in one pass over the samples."""


def round_weights(setup: Setup) -> tuple[list[Edit], dict[str, float]]:
    """Return edits that put weights on their integers, and how much error is left.

    The inputs are those of the INT8 form with weights rounded to nearest: what is lost before a
    layer is in them.

    Args:
        setup: the FP32 model and how to build. Layers whose weight stays float, is read elsewhere
            too, or is wider than `WIDEST` are passed over.

    Returns:
        The edits, and by operator the output error over that of rounding to nearest.
    """
    reads = [name for op in setup.task.graph.ops for name in op.weights]
    wanted = [layer for layer in setup.task.layers if _can_be_rounded(setup, layer, reads)]
    edits, left = [], {}
    built = setup.build(setup.task.model)
    for part in _parts(setup, wanted):
        observer = InputObserver(part, setup.read, ROWS, products=True)
        setup.task.observe(built, observer)
        for layer in part:
            name = layer.op.name
            edit, left[name] = _rounded(setup, layer, observer.sums.pop(name))
            edits.append(edit)
    return edits, left


def _can_be_rounded(setup: Setup, layer: Layer, reads: list[str]) -> bool:
    if layer.scheme is None or not layer.scheme.symmetric:
        return False
    return reads.count(layer.linear.weight) == 1 and _columns(setup, layer) <= WIDEST


def _columns(setup: Setup, layer: Layer) -> int:
    return math.prod(block_shape(_weight(setup, layer).shape, layer.linear)[2:])


def _weight(setup: Setup, layer: Layer) -> Array:
    return setup.constant(setup.task.model, layer.linear.weight)


def _parts(setup: Setup, layers: Iterable[Layer]) -> Iterator[list[Layer]]:
    """Cut layers into runs whose matrices fit into `MEMORY` together."""
    part: list[Layer] = []
    room = MEMORY
    for layer in layers:
        size = 8 * layer.linear.groups * _columns(setup, layer) ** 2
        if part and size > room:
            yield part
            part, room = [], MEMORY
        part.append(layer)
        room -= size
    if part:
        yield part


def _rounded(setup: Setup, layer: Layer, sums: InputSums) -> tuple[Edit, float]:
    weight = _weight(setup, layer)
    assert layer.scheme is not None
    scale = step_sizes(weight, layer, layer.scheme)
    blocks = to_blocks(weight, layer.linear)
    columns = blocks.reshape(*blocks.shape[:2], -1)
    gram = shrunk(sums.mean_products, sums.count)
    integers = round_weight(columns, scale, gram, layer.scheme.qmax)
    rounded = integers * scale[..., None]
    value = from_blocks(rounded.reshape(blocks.shape), weight.shape, layer.linear)
    left = _error_left(columns, scale, rounded, gram)
    return Edit(layer.linear.weight, value.astype(weight.dtype)), left


def _error_left(
    columns: FloatArray, scale: FloatArray, rounded: FloatArray, gram: FloatArray
) -> float:
    """Return a layer's output error over that of rounding to nearest; 1 where that has none."""
    nearest = np.rint(columns / scale[..., None]) * scale[..., None]
    before = output_error(nearest - columns, gram).sum()
    return float(output_error(rounded - columns, gram).sum() / before) if before > 0 else 1.0
