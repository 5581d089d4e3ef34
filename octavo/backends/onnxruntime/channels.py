"""Operators as corrections see them: products with constant weights, and what scales channels."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir

from octavo.backends.onnxruntime.shapes import shape_of
from octavo.graph import Linear, Scaling, Window

Values = Mapping[str, ir.Value]

HOMOGENEOUS = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Abs", "Neg", "Identity", "MaxPool", "AveragePool",
     "GlobalAveragePool", "GlobalMaxPool"}
)  # fmt: skip
"""Operators with f(c * x) = c * f(x) for every c > 0, channel by channel."""

SUMS = frozenset({"Add", "Sub", "Sum"})
RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
NORMALIZATIONS = {
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1,),
    "SimplifiedLayerNormalization": (1,),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
}
"""Operators whose constants make the scale of their output, with the places of those."""

PER_POSITION = frozenset({"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"})
"""Those of them that normalize along the last axis, where their constants lie too."""


def linear_of(node: ir.Node, values: Values) -> Linear | None:
    """Return how a node multiplies by a constant weight, None where it does not."""
    if node.domain or len(node.inputs) < 2 or not _is_float_constant(node.inputs[1]):
        return None
    if _is_constant(node.inputs[0]):
        return None
    match node.op_type:
        case "Conv" | "ConvTranspose":
            return _convolution(node, values)
        case "Gemm":
            return _gemm(node)
        case "MatMul":
            return _matmul(node)
    return None


def _convolution(node: ir.Node, values: Values) -> Linear | None:
    if len(node.inputs) > 2 and node.inputs[2] is not None and not _is_constant(node.inputs[2]):
        return None
    forward = node.op_type == "Conv"
    return Linear(
        weight=_name(node.inputs[1]),
        bias=_third(node),
        input_axis=1 if forward else 0,
        output_axis=0 if forward else 1,
        tensor_axis=1,
        groups=node.attributes.get_int("group", 1),
        window=_window(node, values) if forward else None,
    )


def _window(node: ir.Node, values: Values) -> Window | None:
    weight = shape_of(node.inputs[1])
    if weight is None:
        return None
    kernel = tuple(size or 1 for size in weight[2:])
    ones = [1] * len(kernel)
    strides = tuple(node.attributes.get_ints("strides", ones))
    dilations = tuple(node.attributes.get_ints("dilations", ones))
    pads = _pads(node, values, kernel, strides, dilations)
    return None if pads is None else Window(kernel, strides, dilations, pads)


def _pads(
    node: ir.Node,
    values: Values,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[tuple[int, int], ...] | None:
    """Return the padding, which `auto_pad` derives from the size of the input."""
    rank = len(kernel)
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        given = tuple(node.attributes.get_ints("pads", [0] * (2 * rank)))
        given = given if mode == "NOTSET" else (0,) * (2 * rank)
        return tuple(zip(given[:rank], given[rank:], strict=True))
    shape = shape_of(values.get(_name(node.inputs[0])))
    if shape is None or None in shape[2:]:
        return None
    pads = []
    for size, taps, step, dilation in zip(shape[2:], kernel, strides, dilations, strict=True):
        reach = dilation * (taps - 1) + 1
        total = max(0, (math.ceil((size or 1) / step) - 1) * step + reach - (size or 1))
        small, large = total // 2, total - total // 2
        pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return tuple(pads)


def _gemm(node: ir.Node) -> Linear | None:
    scales = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0))
    if scales != (1.0, 1.0) or node.attributes.get_int("transA", 0):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    transposed = bool(node.attributes.get_int("transB", 0))
    if bias is not None and not _is_channel_row(bias, node.inputs[1], int(not transposed)):
        return None
    return Linear(
        weight=_name(node.inputs[1]),
        bias=_third(node),
        input_axis=int(transposed),
        output_axis=int(not transposed),
        tensor_axis=-1,
    )


def _matmul(node: ir.Node) -> Linear | None:
    weight = shape_of(node.inputs[1])
    if weight is None or len(weight) != 2:
        return None
    found = bias_behind(node)
    return Linear(
        weight=_name(node.inputs[1]),
        bias=None if found is None else _name(found[0].inputs[found[1]]),
        input_axis=0,
        output_axis=1,
        tensor_axis=-1,
    )


def bias_behind(node: ir.Node) -> tuple[ir.Node, int] | None:
    """Return the Add that puts a bias on a product which nothing else reads, and its place."""
    output = node.outputs[0]
    uses = tuple(output.uses())
    if len(uses) != 1 or output.is_graph_output():
        return None
    reader = uses[0].node
    if reader.op_type != "Add" or reader.domain or reader.graph is not node.graph:
        return None
    index = 1 if reader.inputs[0] is output else 0
    other = reader.inputs[index]
    return (reader, index) if other and _is_channel_row(other, node.inputs[1], 1) else None


def _is_channel_row(bias: ir.Value, weight: ir.Value | None, axis: int) -> bool:
    """Return whether a constant holds one value for each output channel and nothing else."""
    shape, sizes = shape_of(bias), shape_of(weight)
    if not _is_float_constant(bias) or shape is None or sizes is None or not shape:
        return False
    return shape[-1] == sizes[axis] and math.prod(size or 1 for size in shape) == shape[-1]


def scaling_of(node: ir.Node, values: Values) -> Scaling | None:
    """Return how factors on channels reach the output of a node, None where they do not."""
    kind, used = node.op_type, [output for output in node.outputs if output.uses()]
    if node.domain not in ("", "com.microsoft") or len(used) > 1 or not node.inputs:
        return None
    first = node.inputs[0]
    if kind in NORMALIZATIONS:
        return _normalization(node, values)
    if first is None or node.domain:
        return None
    if kind in ("Shape", "Size"):
        return Scaling(ignores=(_name(first),))
    if kind in SUMS:
        return _sum(node)
    if kind in ("Mul", "Div"):
        return _product(node, values)
    if _is_constant(first) or not _passes(node):
        return None
    if kind in RESHAPES or kind in ("Transpose", "ReduceMean"):
        axes = _kept_axes(node, values)
        return Scaling((_name(first),), axes=axes) if axes else None
    bounds = _bounds(node) if kind == "Clip" else None
    return None if kind == "Clip" and bounds is None else Scaling((_name(first),), bounds=bounds)


def _passes(node: ir.Node) -> bool:
    """Return whether a node with one activation input is homogeneous in each channel."""
    match node.op_type:
        case "Pad":
            return _pads_with_zeros(node)
        case "Resize":
            mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
            return mode != "tf_crop_and_resize"
        case "PRelu":
            return _is_constant(node.inputs[1])
    return node.op_type in HOMOGENEOUS | RESHAPES | {"Transpose", "ReduceMean", "Clip"}


def _pads_with_zeros(node: ir.Node) -> bool:
    if node.attributes.get_string("mode", "constant") != "constant":
        return True
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return True
    return value.const_value is not None and not value.const_value.numpy().any()


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """Return the constant bounds of a Clip, None where one of them is computed."""
    found = [-math.inf, math.inf]
    for index, value in enumerate(node.inputs[1:3]):
        if value is None:
            continue
        if value.const_value is None:
            return None
        found[index] = float(value.const_value.numpy().item())
    return found[0], found[1]


def _normalization(node: ir.Node, values: Values) -> Scaling | None:
    """Return the vectors that a normalization multiplies by and adds, along its channels."""
    given = [node.inputs[i] for i in NORMALIZATIONS[node.op_type] if i < len(node.inputs)]
    constants = [value for value in given if value is not None]
    if not all(_is_float_constant(v) and len(shape_of(v) or ()) == 1 for v in constants):
        return None
    axis = -1 if node.op_type in PER_POSITION else 1
    return Scaling(constants=tuple(map(_name, constants)), axis=axis)


def _sum(node: ir.Node) -> Scaling:
    given = [value for value in node.inputs if value is not None]
    return Scaling(
        inputs=tuple(dict.fromkeys(_name(v) for v in given if not _is_constant(v))),
        constants=tuple(dict.fromkeys(_name(v) for v in given if _is_constant(v))),
    )


def _product(node: ir.Node, values: Values) -> Scaling | None:
    """Return what scales a product: a constant with channels of its own, else the larger factor.

    The smaller factor of two activations, a gate with one value per channel, stays as it is.
    """
    first, second = node.inputs[0], node.inputs[1]
    if first is None or second is None:
        return None
    if _is_constant(second) and not _is_constant(first):
        return _by_constant(node, first, second, values)
    if node.op_type == "Mul" and _is_constant(first) and not _is_constant(second):
        return _by_constant(node, second, first, values)
    if _is_constant(first):
        return None
    full = shape_of(values.get(_name(node.outputs[0])))
    sizes = [shape_of(values.get(_name(value))) for value in (first, second)]
    if full is None or sizes[0] is None or sizes[1] is None or sizes[0] == sizes[1]:
        return None
    if sizes[0] == full:
        return Scaling((_name(first),))
    return Scaling((_name(second),)) if sizes[1] == full and node.op_type == "Mul" else None


def _by_constant(
    node: ir.Node, value: ir.Value, constant: ir.Value, values: Values
) -> Scaling | None:
    shape = shape_of(constant)
    if node.op_type == "Div" or shape is None or math.prod(size or 1 for size in shape) == 1:
        return Scaling((_name(value),))
    return Scaling(constants=(_name(constant),))


def _kept_axes(node: ir.Node, values: Values) -> tuple[tuple[int, int], ...]:
    """Return the axes that a Transpose or Reshape leaves whole, as pairs of places.

    An axis of a Reshape is whole when it has the same size, with equally many values behind each of
    its steps, before and after. Axis 0 holds the samples, whose number is not known, and is left
    out.
    """
    before = shape_of(values.get(_name(node.inputs[0])))
    after = shape_of(values.get(_name(node.outputs[0])))
    if before is None or after is None:
        return ()
    if node.op_type == "Transpose":
        order = node.attributes.get_ints("perm", list(range(len(before)))[::-1])
        return tuple((source, place) for place, source in enumerate(order))
    if node.op_type == "ReduceMean":
        return _axes_beside_mean(node, len(before))
    places = {extent: axis for axis, extent in _extents(after).items()}
    found = {axis: places.get(extent) for axis, extent in _extents(before).items()}
    return tuple((axis, place) for axis, place in found.items() if place is not None)


def _axes_beside_mean(node: ir.Node, rank: int) -> tuple[tuple[int, int], ...]:
    """Return the axes that a ReduceMean leaves whole, none where its axes are not known."""
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None:
        constant = given.const_value
        gone = [] if constant is None else constant.numpy().reshape(-1).tolist()
    else:
        gone = list(node.attributes.get_ints("axes", []))
    if not gone:
        return ()
    kept = [axis for axis in range(rank) if axis not in {one % rank for one in gone}]
    if node.attributes.get_int("keepdims", 1):
        return tuple((axis, axis) for axis in kept)
    return tuple((axis, place) for place, axis in enumerate(kept))


def _extents(shape: tuple[int | None, ...]) -> dict[int, tuple[int, int]]:
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


def _third(node: ir.Node) -> str | None:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    return None if value is None else _name(value)


def _name(value: ir.Value | None) -> str:
    return "" if value is None else str(value.name)


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _is_float_constant(value: ir.Value | None) -> bool:
    return value is not None and _is_constant(value) and value.dtype == ir.DataType.FLOAT
