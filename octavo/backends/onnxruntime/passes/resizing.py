"""Nearest-neighbour resizing in the coordinates for which ONNX Runtime has a fast kernel."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from octavo.backends.onnxruntime.edits import constant, integers, sizes
from octavo.backends.onnxruntime.qdq import Writer


def simplify_resizes(writer: Writer) -> None:
    """Write a Resize that repeats every value n times as one of asymmetric, floored coordinates."""
    for node in list(writer.graph):
        if node.op_type != "Resize" or node.domain:
            continue
        factors = repeats(node)
        if factors is None:
            continue
        scales = writer.constant(f"{node.name}.scales", np.array(factors, np.float32))
        node.resize_inputs(3)
        node.replace_input_with(1, None)
        node.replace_input_with(2, scales)
        for name in ("axes", "keep_aspect_ratio_policy", "exclude_outside", "antialias"):
            node.attributes.pop(name, None)
        where = "coordinate_transformation_mode"
        node.attributes[where] = ir.AttrString(where, "asymmetric")
        node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "floor")


def repeats(node: ir.Node) -> list[int] | None:
    """Return how often a Resize repeats every value along each axis; None if it does not."""
    shape = sizes(node.inputs[0])
    if node.attributes.get_string("mode", "nearest") != "nearest" or shape is None:
        return None
    if node.attributes.get_int("antialias", 0):
        return None
    axes = [axis % len(shape) for axis in node.attributes.get_ints("axes", range(len(shape)))]
    given = _scales(node, [shape[axis] for axis in axes])
    if given is None or len(given) != len(axes) or any(s != int(s) or s < 1 for s in given):
        return None
    factors = [1] * len(shape)
    for axis, factor in zip(axes, given, strict=True):
        factors[axis] = int(factor)
    return factors if all(_repeats_each(node, factor) for factor in factors) else None


def _scales(node: ir.Node, shape: list[int | None]) -> list[float] | None:
    """Return the constant scales of a Resize, from its sizes where it is given those."""
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scales is not None and scales.size:
        return [float(scale) for scale in scales]
    wanted = integers(node.inputs[3]) if len(node.inputs) > 3 else None
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    if wanted is None or len(wanted) != len(shape) or policy != "stretch" or not all(shape):
        return None
    return [size / (old or 1) for size, old in zip(wanted, shape, strict=True)]


def _repeats_each(node: ir.Node, factor: int) -> bool:
    """Return whether position x of the output reads x // factor, whatever the length."""
    where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    if where == "align_corners":
        return factor == 1
    if where not in ("asymmetric", "tf_half_pixel_for_nn") and not where.endswith("half_pixel"):
        return where == "half_pixel_symmetric" and factor == 1
    before = 0.0 if where == "asymmetric" else 0.5
    after = 0.5 if where.endswith("half_pixel") else 0.0
    return all(
        _rounded((x + before) / factor - after, rounding) == x // factor for x in range(factor)
    )


def _rounded(position: float, rounding: str) -> int:
    return {
        "floor": math.floor(position),
        "ceil": math.ceil(position),
        "round_prefer_ceil": math.floor(position + 0.5),
        "round_prefer_floor": math.ceil(position - 0.5),
    }[rounding]
