"""Shapes and multiply-adds of a program for the input shapes of a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch import fx

from octavo.backends.pytorch.kinds import CONVOLUTIONS, native_of
from octavo.backends.pytorch.program import Program, value_of
from octavo.model import Dimension, TensorSpec

Shape = tuple[int | None, ...]


class Shapes:
    """Shapes of all tensors, with values in the place of free dimensions."""

    def __init__(self, program: Program, given: Mapping[str, tuple[int, ...]]) -> None:
        self._values: dict[sympy.Symbol, int] = {}
        for node in program.inputs:
            sizes = value_of(node).shape
            known = given.get(node.name, (1,) * len(sizes))
            for size, chosen in zip(sizes, known, strict=True):
                if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                    self._values.setdefault(size.node.expr, chosen)

    def of(self, node: fx.Node) -> Shape:
        """Return the shape of what a node makes; a size is None where it is not known."""
        return tuple(self._size(size) for size in value_of(node).shape)

    def _size(self, size: int | torch.SymInt) -> int | None:
        if not isinstance(size, torch.SymInt):
            return int(size)
        value = size.node.expr.subs(self._values)
        return int(value) if value.is_Integer else None


def specs_of(program: Program) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the declared forms of inputs and outputs; equal free dimensions have one name."""
    names: dict[sympy.Expr, str] = {}

    def dimension(size: int | torch.SymInt, axis: int) -> Dimension:
        if not isinstance(size, torch.SymInt):
            return int(size)
        free = size.node.expr
        if not free.is_Symbol:
            return None
        taken = len(names)
        return names.setdefault(free, "batch" if axis == 0 and not taken else f"size{taken}")

    def spec(node: fx.Node) -> TensorSpec:
        sizes = enumerate(value_of(node).shape)
        shape = tuple(dimension(size, axis) for axis, size in sizes)
        return TensorSpec(node.name, dtype_of(node), shape)

    inputs = tuple(spec(node) for node in program.inputs)
    return inputs, tuple(spec(node) for node in dict.fromkeys(program.outputs))


def dtype_of(node: fx.Node) -> str:
    """Return numpy's name of the element type of what a node makes."""
    return str(value_of(node).dtype).removeprefix("torch.")


def macs_of(node: fx.Node, shapes: Shapes) -> int:
    """Return the multiply-adds of a node; 0 where it has none, or where sizes are not known."""
    native = native_of(node)
    if native == "scaled_dot_product_attention":
        query, key, value = (shapes.of(one) for one in node.args[:3] if isinstance(one, fx.Node))
        positions = _product((*query[:-1], key[-2]))
        return positions * ((query[-1] or 0) + (value[-1] or 0))
    size = _product(shapes.of(node)) if isinstance(value_of(node), torch.Tensor) else 0
    if native in CONVOLUTIONS:
        return size * _product(shapes.of(_argument(node, 1))[1:])
    if native in ("linear", "matmul", "mm", "bmm"):
        return size * (shapes.of(_argument(node, 0))[-1] or 0)
    if native in ("addmm", "baddbmm"):
        return size * (shapes.of(_argument(node, 1))[-1] or 0)
    return 0


def _argument(node: fx.Node, index: int) -> fx.Node:
    found: Any = node.args[index]
    assert isinstance(found, fx.Node)
    return found


def _product(shape: Shape) -> int:
    return 0 if None in shape else math.prod(size or 0 for size in shape)
