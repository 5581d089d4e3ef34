"""Folding what scales and shifts channels into the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from octavo.arrays import FloatArray

CHANNEL_AXIS_OF_WEIGHT = {"Conv": 0, "ConvTranspose": 1}


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift, per channel (shape [channels])."""

    scale: FloatArray
    shift: FloatArray


def constant(value: ir.Value | None) -> FloatArray | None:
    """Return a float constant as float64, None for anything else."""
    if value is None or value.const_value is None or value.dtype != ir.DataType.FLOAT:
        return None
    return np.asarray(value.const_value.numpy(), np.float64)


def fold_affine(graph: ir.Graph) -> None:
    """Fold BatchNormalization, and Mul and Add by a constant per channel, into convolutions.

    Requires: the convolution's weight is constant and its output is read by that one node only.
    """
    for node in list(graph):
        while (follower := _only_reader(node)) is not None and _fold(graph, node, follower):
            pass


def _only_reader(node: ir.Node) -> ir.Node | None:
    if node.op_type not in CHANNEL_AXIS_OF_WEIGHT or node.domain:
        return None
    uses = tuple(node.outputs[0].uses())
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    reader = uses[0].node
    return reader if reader.graph is node.graph else None


def _fold(graph: ir.Graph, node: ir.Node, follower: ir.Node) -> bool:
    weight = constant(node.inputs[1])
    if weight is None or (
        len(node.inputs) > 2 and node.inputs[2] is not None and constant(node.inputs[2]) is None
    ):
        return False
    channels = _channels(node, weight)
    affine = _affine(follower, node.outputs[0], channels, weight.ndim)
    if affine is None:
        return False
    _apply(graph, node, weight, affine)
    result = follower.outputs[0]
    name, is_output = result.name, result.is_graph_output()
    result.replace_all_uses_with(node.outputs[0], replace_graph_outputs=is_output)
    graph.remove(follower, safe=True)
    node.outputs[0].name = name
    return True


def _channels(node: ir.Node, weight: FloatArray) -> int:
    groups = node.attributes.get_int("group", 1)
    if node.op_type == "ConvTranspose":
        return int(weight.shape[1]) * groups
    return int(weight.shape[0])


def _affine(node: ir.Node, source: ir.Value, channels: int, rank: int) -> Affine | None:
    if node.domain:
        return None
    if node.op_type == "BatchNormalization":
        return _batch_normalization(node)
    if node.op_type not in ("Mul", "Add") or len(node.inputs) != 2:
        return None
    other = node.inputs[1] if node.inputs[0] is source else node.inputs[0]
    value = _per_channel(constant(other), channels, rank)
    if value is None:
        return None
    if node.op_type == "Mul":
        return Affine(value, np.zeros(channels))
    return Affine(np.ones(channels), value)


def _batch_normalization(node: ir.Node) -> Affine | None:
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


def _apply(graph: ir.Graph, node: ir.Node, weight: FloatArray, affine: Affine) -> None:
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = np.zeros(affine.scale.size) if bias is None else bias
    groups = node.attributes.get_int("group", 1)
    scaled = _scale_weight(node.op_type, weight, affine.scale, groups)
    node.resize_inputs(3)
    node.replace_input_with(1, initializer(graph, f"{node.name}.weight", scaled))
    shifted = bias * affine.scale + affine.shift
    node.replace_input_with(2, initializer(graph, f"{node.name}.bias", shifted))


def _scale_weight(op_type: str, weight: FloatArray, scale: FloatArray, groups: int) -> FloatArray:
    if op_type == "Conv":
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    parts = weight.reshape(groups, -1, *weight.shape[1:])
    factor = scale.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
    scaled: FloatArray = (parts * factor).reshape(weight.shape)
    return scaled


def initializer(graph: ir.Graph, base: str, value: FloatArray) -> ir.Value:
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
