"""The rows that the weights of a linear operator are multiplied by, one for each position."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from octavo.arrays import Array
from octavo.graph import Linear, Window


def input_rows(linear: Linear, sample: Array, chosen: Array | None = None) -> Array:
    """Return the rows of one sample, `[groups, positions, inputs * taps]`.

    The order of a row is that of `to_blocks`: `rows @ blocks.reshape(groups, outputs, -1)` is what
    the operator computes, bias aside.

    Args:
        linear: the operator; a convolution needs its windows.
        sample: what it reads, without the sample axis: `[channels, *spatial]` for a convolution,
            `[*positions, channels]` otherwise.
        chosen: indices of the wanted positions, in row-major order; None for all.
    """
    if linear.window is None:
        rows = sample.reshape(1, -1, sample.shape[-1])
        return rows if chosen is None else rows[:, chosen]
    views = _windows(linear.window, sample)
    spatial = len(linear.window.kernel)
    places = np.arange(math.prod(views.shape[1 : 1 + spatial])) if chosen is None else chosen
    indices = np.unravel_index(places, views.shape[1 : 1 + spatial])
    picked: Array = np.moveaxis(views, 0, -1)[indices]  # [positions, *kernel, channels]
    rows = np.moveaxis(picked, -1, 1).reshape(len(places), linear.groups, -1)
    return np.ascontiguousarray(rows.swapaxes(0, 1))


def positions(linear: Linear, shape: tuple[int, ...]) -> int:
    """Return how many rows one sample of `shape` has."""
    if linear.window is None:
        return math.prod(shape[:-1])
    return math.prod(_output_sizes(linear.window, shape[1:]))


def _output_sizes(window: Window, sizes: Iterable[int]) -> list[int]:
    axes = zip(sizes, window.kernel, window.strides, window.dilations, window.pads, strict=True)
    return [
        (size + sum(pad) - dilation * (taps - 1) - 1) // stride + 1
        for size, taps, stride, dilation, pad in axes
    ]


def _windows(window: Window, sample: Array) -> Array:
    """Return a view `[channels, *output, *kernel]`."""
    padded = np.pad(sample, ((0, 0), *window.pads))
    reach = tuple(
        dilation * (taps - 1) + 1
        for taps, dilation in zip(window.kernel, window.dilations, strict=True)
    )
    spatial = tuple(range(1, sample.ndim))
    views = sliding_window_view(padded, reach, axis=spatial)
    steps = [slice(None, None, stride) for stride in window.strides]
    taps = [slice(None, None, dilation) for dilation in window.dilations]
    return views[(slice(None), *steps, *taps)]


class RowSampler:
    """Chooses rows of an operator's input, the same of each sample whatever the batch.

    Args:
        linear: the operator.
        limit: rows taken of one sample, at most.
        seed: of the choice.
    """

    def __init__(self, linear: Linear, limit: int, seed: int = 0) -> None:
        self._linear = linear
        self._limit = limit
        self._seed = seed
        self._seen = 0

    def take(self, values: Array) -> Array:
        """Return rows of the next samples, `[groups, rows, inputs * taps]`."""
        parts = []
        for sample in values:
            count = positions(self._linear, sample.shape)
            chosen = None
            if count > self._limit:
                random = np.random.default_rng([self._seed, self._seen])
                chosen = np.sort(random.choice(count, self._limit, replace=False))
            parts.append(input_rows(self._linear, sample, chosen))
            self._seen += 1
        return np.concatenate(parts, axis=1)
