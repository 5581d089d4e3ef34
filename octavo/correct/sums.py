"""Sums over the inputs of layers, collected while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.correct.layers import Layer
from octavo.correct.rows import RowSampler

Read = Callable[[Layer, Array], Array]
"""What a layer gets to read of the values of its input."""


@dataclass
class InputSums:
    """Sums over the rows that one layer multiplied.

    Attributes:
        count: how many rows of each group were summed.
        total: float64 `[groups, columns]`, their sum.
        products: float64 `[groups, columns, columns]`, the sum of `x x^T`; None where not wanted.
    """

    count: int
    total: FloatArray
    products: FloatArray | None

    @property
    def mean(self) -> FloatArray:
        """The mean row, `[groups, columns]`."""
        return self.total / self.count

    @property
    def mean_products(self) -> FloatArray:
        """The mean of `x x^T`, `[groups, columns, columns]`."""
        assert self.products is not None
        return self.products / self.count


class InputObserver:
    """An observer that sums over the inputs of layers.

    Args:
        layers: the layers.
        read: what each gets to read.
        rows: rows taken of one sample, at most; the same positions for a layer in every model.
        products: whether products of columns are wanted.
    """

    def __init__(
        self, layers: Iterable[Layer], read: Read, rows: int, *, products: bool = False
    ) -> None:
        self._read = read
        self._products = products
        self._by_input: dict[str, list[tuple[Layer, RowSampler]]] = {}
        for layer in layers:
            sampler = RowSampler(layer.linear, rows, seed=crc32(layer.op.name.encode()))
            self._by_input.setdefault(layer.input, []).append((layer, sampler))
        self.sums: dict[str, InputSums] = {}

    @property
    def tensors(self) -> Collection[str]:
        """Names of the tensors it wants."""
        return self._by_input

    def update(self, tensor: str, values: Array) -> None:
        """Take the values of one batch."""
        for layer, sampler in self._by_input[tensor]:
            self._add(layer.op.name, sampler.take(self._read(layer, values)))

    def _add(self, name: str, rows: Array) -> None:
        total = rows.sum(axis=1, dtype=np.float64)
        products = (rows.swapaxes(1, 2) @ rows).astype(np.float64) if self._products else None
        old = self.sums.get(name)
        if old is None:
            self.sums[name] = InputSums(rows.shape[1], total, products)
            return
        old.count += rows.shape[1]
        old.total += total
        if products is not None and old.products is not None:
            old.products += products
