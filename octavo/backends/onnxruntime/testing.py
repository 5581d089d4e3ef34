"""Writing the contract's networks as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from octavo.backends.reference.network import Layer, Network
from octavo.model import TensorSpec

OPSET = 17

_NATIVE: Mapping[str, str] = {
    "conv": "Conv",
    "gemm": "Gemm",
    "matmul": "MatMul",
    "relu": "Relu",
    "softmax": "Softmax",
    "add": "Add",
    "concat": "Concat",
    "flatten": "Flatten",
    "transpose": "Transpose",
    "max_pool": "MaxPool",
    "global_average_pool": "GlobalAveragePool",
}


def source(network: Network) -> onnx.ModelProto:
    """Return a network as an ONNX model; tensors, weights and operators keep their names."""
    graph = helper.make_graph(
        nodes=[_node(layer, network) for layer in network.layers],
        name=network.name,
        inputs=[_value(spec) for spec in network.inputs],
        outputs=[
            helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in network.outputs
        ],
        initializer=[numpy_helper.from_array(a, name) for name, a in network.weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, spec.shape)


def _node(layer: Layer, network: Network) -> onnx.NodeProto:
    inputs = [*layer.inputs, *layer.weights]
    attributes = _attributes(layer, network)
    return helper.make_node(
        _NATIVE[layer.op], inputs, [layer.output], name=layer.name, **attributes
    )


def _attributes(layer: Layer, network: Network) -> dict[str, Any]:
    """Return a layer's attributes as ONNX writes them."""
    match layer.op:
        case "conv":
            padding, stride = layer.number("padding", 0), layer.number("stride", 1)
            shape = network.weights[layer.weights[0]].shape[2:]
            group = layer.number("groups", 1)
            return {
                "kernel_shape": shape, "pads": [padding] * 4, "strides": [stride] * 2,
                "group": group,
            }  # fmt: skip
        case "max_pool":
            size = layer.number("size", 2)
            return {"kernel_shape": [size] * 2, "strides": [layer.number("stride", size)] * 2}
        case "gemm":
            return {"transB": 1}
        case "concat":
            return {"axis": layer.number("axis", 1)}
        case "transpose":
            return {"perm": layer.numbers("order")}
        case "softmax":
            return {"axis": -1}
    return {}
