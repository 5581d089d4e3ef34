"""The hash that tells whether two graphs compute the same thing in the same way."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import onnx_ir as ir


class _Digest(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...


def fingerprint(graph: ir.Graph) -> str:
    """Return a SHA-256 over operators, attributes, names and weights, bodies of If and Loop too."""
    digest = hashlib.sha256()
    _add_graph(digest, graph)
    return digest.hexdigest()


def _add_graph(digest: _Digest, graph: ir.Graph) -> None:
    ends = [(v.name, str(v.dtype), str(v.shape)) for v in (*graph.inputs, *graph.outputs)]
    digest.update(repr((sorted(graph.opset_imports.items()), ends)).encode())
    for node in graph:
        names = [v.name if v is not None else "" for v in (*node.inputs, *node.outputs)]
        digest.update(repr((node.domain, node.op_type, node.name, names)).encode())
        for _, attribute in sorted(node.attributes.items()):
            _add_attribute(digest, attribute)
    for name, value in sorted(graph.initializers.items()):
        if value.const_value is not None:
            digest.update(repr(name).encode())
            _add_tensor(digest, value.const_value)


def _add_attribute(digest: _Digest, attribute: ir.Attr) -> None:
    digest.update(repr((attribute.name, str(attribute.type))).encode())
    if attribute.type == ir.AttributeType.GRAPH:
        _add_graph(digest, attribute.as_graph())
    elif attribute.type == ir.AttributeType.TENSOR:
        _add_tensor(digest, attribute.as_tensor())
    else:
        digest.update(repr(attribute.value).encode())


def _add_tensor(digest: _Digest, tensor: ir.TensorProtocol) -> None:
    array = tensor.numpy()
    digest.update(repr((str(tensor.dtype), array.shape)).encode())
    if tensor.dtype == ir.DataType.STRING:
        digest.update(repr(array.tolist()).encode())
    else:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
