"""Weights beside the protobuf: in files of their own, or handed over as they lie in memory.

A protobuf message holds less than 2 GB, and every way through one copies the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from octavo.arrays import Array

MAPPED = 1_000_000_000  # bytes of weights from which files are mapped and not read
HANDED_OVER = 100_000_000  # bytes of constants from which they go beside the message
SMALL = 1024  # bytes of a constant that is always in the message: optimizers look into it


def attach_weights(model: ir.Model) -> None:
    """Replace references to files by the tensors in them, in bodies and attributes too.

    Many of them are mapped, so that memory holds what is used: the files must not be changed in
    place, but may be deleted or replaced. Others are read.

    Raises:
        OSError: a file is missing.
        ValueError: it is too short, or lies outside of the model's folder.
    """
    values = [v for graph in model.graphs() for v in graph.initializers.values()]
    referring = [v for v in values if isinstance(v.const_value, ir.ExternalTensor)]
    mapped = sum(value.const_value.nbytes for value in referring) > MAPPED
    for value in referring:
        value.const_value = _attached(value.const_value, mapped)
    for node, attribute in _tensor_attributes(model):
        if isinstance(attribute.value, ir.ExternalTensor):
            tensor = _attached(attribute.value, mapped)
            node.attributes[attribute.name] = ir.AttrTensor(attribute.name, tensor)


def _attached(tensor: ir.ExternalTensor, mapped: bool) -> ir.Tensor:
    array = tensor.numpy() if mapped else tensor.numpy().copy()
    if not mapped:
        tensor.release()
    return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)


def _tensor_attributes(model: ir.Model) -> Iterator[tuple[ir.Node, ir.Attr]]:
    for node in model.graph.all_nodes():
        for attribute in list(node.attributes.values()):
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                yield node, attribute


def size_of(model: ir.Model) -> int:
    """Return the bytes of all constants."""
    values = (value for graph in model.graphs() for value in graph.initializers.values())
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


@dataclass(frozen=True)
class Message:
    """A model as ONNX Runtime takes it.

    Attributes:
        content: the protobuf message.
        arrays: constants that are not in it, by name; ONNX Runtime uses their memory.
    """

    content: bytes = field(repr=False)
    arrays: Mapping[str, Array] = field(repr=False)

    def values(self) -> list[ort.OrtValue]:
        """Return the arrays as ONNX Runtime's values, in their order, without copying them."""
        return [ort.OrtValue.ortvalue_from_numpy(array) for array in self.arrays.values()]


def message_of(model: ir.Model) -> Message:
    """Return the message of a model, with its large constants beside it where they are many."""
    if size_of(model) < HANDED_OVER:
        return Message(ir.to_proto(model).SerializeToString(), {})
    changed = model.clone()
    arrays: dict[str, Array] = {}
    for name, value in changed.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > SMALL and _is_plain(tensor):
            # aligned, since a mapped file may hold a tensor at any byte
            arrays[name] = np.require(tensor.numpy(), requirements=["C", "A"])
            value.const_value = ir.ExternalTensor(
                "beside", 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name
            )
    return Message(ir.to_proto(changed).SerializeToString(), arrays)


def _is_plain(tensor: ir.TensorProtocol) -> bool:
    """Return whether numpy itself has the element type."""
    return tensor.dtype != ir.DataType.STRING and tensor.dtype.numpy().isbuiltin == 1
