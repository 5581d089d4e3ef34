"""Shapes that depend on computed shapes: exporters of free dimensions compute them in the graph.

onnx's own inference carries such values through a few operators only. With the sizes of the inputs
given, all of them are small constants, which are computed here, node by node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from octavo.arrays import Array
from octavo.backends.onnxruntime.constants import COMPUTED, evaluate

LARGEST = 1024  # elements of a value that is computed: shapes, indices, bounds


def propagate(graph: ir.Graph) -> None:
    """Fill in the shapes that are missing in a graph whose inputs have their sizes.

    Requires: the nodes are in an order in which they can run. Bodies of If and Loop are left alone.
    """
    if all(is_known(value.shape) for node in graph for value in node.outputs):
        return
    tensors = [(str(v.name), v.const_value) for v in graph.initializers.values()]
    values = {name: np.asarray(tensor.numpy()) for name, tensor in tensors if _is_small(tensor)}
    propagation = _Propagation(values, dict(graph.opset_imports))
    for node in graph:
        propagation.visit(node)


def is_known(shape: ir.Shape | None) -> bool:
    """Return whether every size of a shape is a number."""
    return shape is not None and all(isinstance(size, int) for size in shape)


def is_less_than_nothing(shape: ir.Shape | None) -> bool:
    """Return whether a shape has a negative size: a window was larger than what it slides over."""
    return shape is not None and any(isinstance(size, int) and size < 0 for size in shape)


def _is_small(tensor: ir.TensorProtocol | None) -> bool:
    return tensor is not None and tensor.size <= LARGEST and tensor.dtype != ir.DataType.STRING


@dataclass
class _Propagation:
    """Values that are known so far, by name, and the versions of operator sets by domain."""

    values: dict[str, Array]
    opsets: dict[str, int]

    def visit(self, node: ir.Node) -> None:
        """Compute what a node makes, or else the shapes of it."""
        results = self._computed(node)
        if results is None:
            if not all(is_known(value.shape) for value in node.outputs):
                self._infer(node)
            return
        for value, array in zip(node.outputs, results, strict=True):
            value.shape = ir.Shape(array.shape)
            if array.size <= LARGEST:
                self.values[str(value.name)] = array

    def _computed(self, node: ir.Node) -> list[Array] | None:
        """Return what a node makes, None where that is not known or not worth computing."""
        if node.domain:
            return None
        if node.op_type in ("Shape", "Size"):
            return _sizes(node)
        read = {str(value.name) for value in node.inputs if value is not None}
        if node.op_type not in COMPUTED or not read or not read <= self.values.keys():
            return None
        return evaluate(node, self.values, self.opsets)

    def _infer(self, node: ir.Node) -> None:
        """Ask onnx for the shapes of what one node makes, given the values that it reads."""
        read = {str(value.name): value for value in node.inputs if value is not None}
        types = {name: _type(value) for name, value in read.items() if value.dtype is not None}
        data = {
            name: numpy_helper.from_array(np.asarray(self.values[name], order="C"), name)
            for name in read.keys() & self.values.keys()
        }
        opsets = [helper.make_opsetid(*item) for item in self.opsets.items()]
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opsets[node.domain], node.domain)
            found = onnx.shape_inference.infer_node_outputs(
                schema, ir.to_proto(node), types, data, opset_imports=opsets
            )
        except Exception:  # unknown operators and types: what they make stays unknown
            return
        for value in node.outputs:
            if str(value.name) in found:
                _take(value, found[str(value.name)].tensor_type)
            if is_less_than_nothing(value.shape):
                value.shape = None


def _sizes(node: ir.Node) -> list[Array] | None:
    source = node.inputs[0].shape if node.inputs[0] is not None else None
    if source is None or not is_known(source):
        return None
    shape = np.array([int(size) for size in source], np.int64)
    if node.op_type == "Size":
        return [np.asarray(np.prod(shape, dtype=np.int64))]
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", None)
    return [shape[start:end]]


def _type(value: ir.Value) -> onnx.TypeProto:
    sizes = value.shape
    known = None if sizes is None else [s if isinstance(s, int) else None for s in sizes]
    return helper.make_tensor_type_proto(int(value.dtype), known)


def _take(value: ir.Value, made: onnx.TypeProto.Tensor) -> None:
    if made.HasField("shape"):
        value.shape = ir.Shape(
            [d.dim_value if d.HasField("dim_value") else None for d in made.shape.dim]
        )
    if value.dtype is None and made.elem_type:
        value.dtype = ir.DataType(made.elem_type)
