"""Folding what scales and shifts channels into the convolution or Gemm before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array, FloatArray
from octavo.backends.onnxruntime.edits import FLOAT, constant, constant_shape

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift, per channel (shape [channels])."""

    scale: FloatArray
    shift: FloatArray


def fold_affine(graph: ir.Graph) -> None:
    """Fold BatchNormalization into weights, and Mul, Div and Add by a constant per channel.

    Requires: the weight is constant and the output is read by that one node only.
    """
    for node in list(graph):
        while (follower := _only_reader(node)) is not None and _fold(graph, node, follower):
            pass


def _only_reader(node: ir.Node) -> ir.Node | None:
    if node.op_type not in WEIGHTED or node.domain:
        return None
    uses = tuple(node.outputs[0].uses())
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    reader = uses[0].node
    return reader if reader.graph is node.graph else None


def _fold(graph: ir.Graph, node: ir.Node, follower: ir.Node) -> bool:
    def affine(channels: int) -> Affine | None:
        rank = len(constant_shape(node.inputs[1]) or ())
        return _affine(follower, node.outputs[0], channels, rank)

    if not fold_into(graph, node, affine):
        return False
    result = follower.outputs[0]
    name, is_output = result.name, result.is_graph_output()
    result.replace_all_uses_with(node.outputs[0], replace_graph_outputs=is_output)
    graph.remove(follower, safe=True)
    node.outputs[0].name = name
    return True


def fold_into(graph: ir.Graph, node: ir.Node, make: Callable[[int], Affine | None]) -> bool:
    """Let a convolution or Gemm compute a function of its channels too.

    Args:
        graph: the graph of the node.
        node: any node.
        make: returns the function for a number of channels, None to leave the node alone.

    Returns:
        whether it does; not where its weight or bias is not constant.
    """
    shape = _weight_shape(node)
    affine = None if shape is None else make(_channels(node, shape))
    if affine is not None:
        _apply(graph, node, affine)
    return affine is not None


def _weight_shape(node: ir.Node) -> tuple[int, ...] | None:
    """Return the shape of the weight that can take up a function of the channels, else None."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type not in WEIGHTED or node.domain or not all(map(_is_float, node.inputs[1:2])):
        return None
    if bias is not None and not _is_float(bias):
        return None
    return constant_shape(node.inputs[1]) if _is_plain(node, bias) else None


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and constant_shape(value) is not None and value.dtype == FLOAT


def _is_plain(node: ir.Node, bias: ir.Value | None) -> bool:
    """Return whether a Gemm scales nothing and adds a row, as a convolution does."""
    if node.op_type != "Gemm":
        return True
    scales = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    return scales == [1.0, 1.0] and (bias is None or len(constant_shape(bias) or ()) == 1)


def _channels(node: ir.Node, weight: tuple[int, ...]) -> int:
    groups = node.attributes.get_int("group", 1)
    if node.op_type == "ConvTranspose":
        return weight[1] * groups
    if node.op_type == "Gemm" and not node.attributes.get_int("transB", 0):
        return weight[1]
    return weight[0]


def _affine(node: ir.Node, source: ir.Value, channels: int, rank: int) -> Affine | None:
    if node.domain:
        return None
    if node.op_type == "BatchNormalization":
        return batch_normalization(node)
    if node.op_type not in ("Mul", "Div", "Add") or len(node.inputs) != 2 or rank < 3:
        return None  # what scales the columns of a Gemm is folded with that of a MatMul
    if node.op_type == "Div" and node.inputs[0] is not source:
        return None
    other = node.inputs[1] if node.inputs[0] is source else node.inputs[0]
    value = _per_channel(constant(other), channels, rank)
    if value is None:
        return None
    if node.op_type == "Mul":
        return Affine(value, np.zeros(channels))
    if node.op_type == "Div":
        return Affine(1 / value, np.zeros(channels)) if value.all() else None
    return Affine(np.ones(channels), value)


def batch_normalization(node: ir.Node) -> Affine | None:
    """Return what a BatchNormalization computes, None for one of training or computed values."""
    if node.attributes.get_int("training_mode", 0) or any(o.uses() for o in node.outputs[1:]):
        return None
    parameters = [constant(value) for value in node.inputs[1:5]]
    gamma, beta, mean, variance = parameters
    if gamma is None or beta is None or mean is None or variance is None:
        return None
    scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return Affine(scale, beta - mean * scale)


def _per_channel(value: FloatArray | None, channels: int, rank: int) -> FloatArray | None:
    """Return a constant as one value per channel of an [N, C, ...] tensor of `rank` axes."""
    if value is None or value.ndim > rank:
        return None
    if value.size == 1:
        return np.full(channels, value.item())
    shape = (1,) * (rank - value.ndim) + value.shape
    if shape != (1, channels) + (1,) * (rank - 2):
        return None
    return value.reshape(channels)


def _apply(graph: ir.Graph, node: ir.Node, affine: Affine) -> None:
    weight = constant(node.inputs[1])
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = np.zeros(affine.scale.size) if bias is None else bias
    if weight is None:
        return
    scaled = _scale_weight(node, weight, affine.scale)
    node.resize_inputs(3)
    node.replace_input_with(1, initializer(graph, f"{node.name}.weight", scaled))
    shifted = bias * affine.scale + affine.shift
    node.replace_input_with(2, initializer(graph, f"{node.name}.bias", shifted))


def _scale_weight(node: ir.Node, weight: FloatArray, scale: FloatArray) -> FloatArray:
    if node.op_type == "Gemm" and not node.attributes.get_int("transB", 0):
        return weight * scale
    if node.op_type != "ConvTranspose":
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    groups = node.attributes.get_int("group", 1)
    parts = weight.reshape(groups, -1, *weight.shape[1:])
    factor = scale.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
    scaled: FloatArray = (parts * factor).reshape(weight.shape)
    return scaled


def initializer(graph: ir.Graph, base: str, value: Array) -> ir.Value:
    """Register a float32 constant; its name is `base`, with a suffix where that is taken."""
    name, index = base, 1
    while name in graph.initializers:
        name, index = f"{base}.{index}", index + 1
    tensor = ir.tensor(value.astype(np.float32), name=name)
    result = ir.Value(
        name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(result)
    return result
