"""Operators as corrections see them: products with constant weights, and what scales channels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from octavo.backends.pytorch.kinds import CONVOLUTIONS, HOMOGENEOUS, native_of
from octavo.backends.pytorch.program import value_of
from octavo.backends.pytorch.shapes import Shape, Shapes
from octavo.graph import Linear, Scaling, Window

RESHAPES = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"})


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """Return an argument of an operator, by place or by name."""
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def is_constant(node: Any) -> bool:
    """Return whether an argument is a constant of the model."""
    return isinstance(node, fx.Node) and node.op == "get_attr"


def linear_of(node: fx.Node) -> Linear | None:
    """Return how a node multiplies by a constant weight, None where it does not."""
    native = native_of(node)
    if native not in CONVOLUTIONS and native != "linear":
        return None
    weight, bias = node.args[1], argument(node, 2, "bias")
    if is_constant(node.args[0]) or not is_constant(weight):
        return None
    if bias is not None and not is_constant(bias):
        return None
    names = (_target(weight), None if bias is None else _target(bias))
    if native == "linear":
        return Linear(*names, input_axis=1, output_axis=0, tensor_axis=-1)
    groups = argument(node, 6, "groups", 1)
    return Linear(*names, 1, 0, 1, groups, window_of(node))


def window_of(node: fx.Node) -> Window | None:
    """Return the windows of a convolution; None where its padding is a word."""
    rank = len(value_of(_node(node.args[1])).shape) - 2
    kernel = tuple(int(size) for size in value_of(_node(node.args[1])).shape[2:])
    strides = spread(argument(node, 3, "stride", 1), rank)
    dilations = spread(argument(node, 5, "dilation", 1), rank)
    padding = argument(node, 4, "padding", 0)
    if isinstance(padding, str):
        return None
    pads = tuple((size, size) for size in spread(padding, rank))
    return Window(kernel, strides, dilations, pads)


def spread(value: Any, rank: int) -> tuple[int, ...]:
    """Return one number per spatial axis."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def scaling_of(node: fx.Node, shapes: Shapes) -> Scaling | None:
    """Return how factors on channels reach the output of a node, None where they do not."""
    native = native_of(node)
    if native == "layer_norm":
        given = [one for one in (argument(node, 2, "w"), argument(node, 3, "b")) if one is not None]
        whole = len(node.args[1]) == 1 and all(map(is_constant, given))
        return Scaling(constants=tuple(map(_target, given)), axis=-1) if whole else None
    first = node.args[0] if node.args else None
    if not isinstance(first, fx.Node) or not isinstance(value_of(node), torch.Tensor):
        return None
    if native in ("add", "sub") and not node.kwargs:
        return _sum(node)
    if native == "mul":
        return _product(node)
    if is_constant(first) or not isinstance(value_of(first), torch.Tensor):
        return None
    if native in ("hardtanh", "relu6"):
        low, high = bounds_of(node)
        return Scaling((first.name,), bounds=(low, high))
    if native in HOMOGENEOUS:
        return Scaling((first.name,))
    axes = _axes(node, native, shapes.of(first), shapes.of(node))
    return Scaling((first.name,), axes=axes) if axes else None


def bounds_of(node: fx.Node) -> tuple[float, float]:
    """Return the interval that an activation cuts values to."""
    native = native_of(node)
    if native == "relu":
        return 0.0, math.inf
    if native == "relu6":
        return 0.0, 6.0
    low = argument(node, 1, "min_val", -1.0 if native == "hardtanh" else None)
    high = argument(node, 2, "max_val", 1.0 if native == "hardtanh" else None)
    return (-math.inf if low is None else float(low)), (math.inf if high is None else float(high))


def _sum(node: fx.Node) -> Scaling | None:
    terms = [one for one in node.args[:2] if isinstance(one, fx.Node)]
    if len(terms) < 2:  # a number, the same for all channels, does not scale with them
        return None
    return Scaling(
        inputs=tuple(dict.fromkeys(one.name for one in terms if not is_constant(one))),
        constants=tuple(dict.fromkeys(_target(one) for one in terms if is_constant(one))),
    )


def _product(node: fx.Node) -> Scaling | None:
    """Return what scales a product: its number's other factor, or a constant with channels."""
    first, second = node.args[:2]
    if not isinstance(second, fx.Node) and isinstance(first, fx.Node):
        return None if is_constant(first) else Scaling((first.name,))
    constants = [one for one in (first, second) if is_constant(one)]
    if len(constants) != 1:
        return None
    (constant,) = constants
    other = second if constant is first else first
    if value_of(_node(constant)).numel() == 1:
        return Scaling((_node(other).name,))
    return Scaling(constants=(_target(constant),))


def _axes(node: fx.Node, native: str, before: Shape, after: Shape) -> tuple[tuple[int, int], ...]:
    """Return the axes that stay whole, as pairs of places; none where that is not known."""
    rank = len(before)
    if native in ("transpose", "permute", "t"):
        return tuple((source, place) for place, source in enumerate(_order(node, native, rank)))
    if native == "mean":
        gone = argument(node, 1, "dim")
        if not gone:
            return ()
        kept = [axis for axis in range(rank) if axis not in {one % rank for one in gone}]
        if argument(node, 2, "keepdim", False):
            return tuple((axis, axis) for axis in kept)
        return tuple((axis, place) for place, axis in enumerate(kept))
    if native not in RESHAPES:
        return ()
    places = {extent: axis for axis, extent in _extents(after).items()}
    found = {axis: places.get(extent) for axis, extent in _extents(before).items()}
    return tuple((axis, place) for axis, place in found.items() if place is not None)


def _order(node: fx.Node, native: str, rank: int) -> list[int]:
    if native == "permute":
        given: Any = node.args[1]
        return [axis % rank for axis in given]
    order = list(range(rank))
    first, second = (0, 1) if native == "t" else (node.args[1], node.args[2])
    assert isinstance(first, int) and isinstance(second, int)
    first, second = first % rank, second % rank
    order[first], order[second] = order[second], order[first]
    return order


def _extents(shape: Shape) -> dict[int, tuple[int, int]]:
    """Return size and step (in values) of the axes behind the first, where they are known."""
    found, step = {}, 1
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        if size is None:
            break
        if size > 1:  # several axes of size 1 can have one step
            found[axis] = (size, step)
        step *= size
    return found


def _node(value: Any) -> fx.Node:
    assert isinstance(value, fx.Node)
    return value


def _target(node: Any) -> str:
    return str(_node(node).target)
