"""Committed networks keep their weights in half precision, behind a Cast: half the bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from octavo.arrays import Array

SMALLEST = 64
"""Elements of a constant below which the cast takes what halving it saves."""
SUFFIX = ".h"


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose large float constants are stored in half precision.

    Each is cast to single precision again, under the name that it had. A constant that does not
    fit into half precision stays as it is.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph, casts = made.graph, []
    for tensor in graph.initializer:
        if (half := _half(tensor)) is None:
            continue
        name = tensor.name
        casts.append(onnx.helper.make_node("Cast", [name + SUFFIX], [name], to=1))
        tensor.CopyFrom(numpy_helper.from_array(half, name + SUFFIX))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return made


def _half(tensor: onnx.TensorProto) -> Array | None:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return None
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if values.size >= SMALLEST and np.isfinite(half).all() else None


def whole(path: Path) -> onnx.ModelProto:
    """Return a stored network with constants in single precision and without the casts."""
    made = onnx.load(path)
    graph = made.graph
    casts = {node.input[0]: node for node in graph.node if _restores(node)}
    for tensor in graph.initializer:
        if (node := casts.get(tensor.name)) is not None:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
            graph.node.remove(node)
    return made


def _restores(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and node.input[0] == node.output[0] + SUFFIX
