"""Writing the contract's networks as PyTorch modules."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from octavo.backends.pytorch.source import Source
from octavo.backends.reference.network import Layer, Network


def source(network: Network) -> Source:
    """Return a network as a module; submodules have the names of the layers."""
    graph, values = fx.Graph(), {}
    modules: dict[str, nn.Module] = {}
    for spec in network.inputs:
        values[spec.name] = graph.placeholder(spec.name)
    for layer in network.layers:
        modules[layer.name] = _Layer(layer, network)
        inputs = tuple(values[name] for name in layer.inputs)
        values[layer.output] = graph.call_module(layer.name, inputs)
    graph.output(tuple(values[name] for name in network.outputs))
    example = tuple(torch.zeros(spec.concrete(2)) for spec in network.inputs)
    return Source(fx.GraphModule(modules, graph), example)


def tensor(network: Network, name: str) -> str:
    """Return what the backend calls a tensor of a network."""
    for layer in network.layers:
        if layer.output == name:
            return f"{layer.name}_{_native(layer)}"
    return name


def _native(layer: Layer) -> str:
    names = {"conv": "conv2d", "gemm": "linear", "concat": "cat", "max_pool": "max_pool2d",
             "global_average_pool": "adaptive_avg_pool2d", "transpose": "permute"}  # fmt: skip
    return names.get(layer.op, layer.op)


class _Layer(nn.Module):
    """One layer, with its constants as parameters."""

    def __init__(self, layer: Layer, network: Network) -> None:
        super().__init__()
        self.layer = layer
        for name, array in zip(("weight", "bias"), network.constants(layer), strict=False):
            self.register_parameter(name, nn.Parameter(torch.from_numpy(array.copy())))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the layer."""
        layer, first = self.layer, inputs[0]
        match layer.op:
            case "conv":
                stride, padding = layer.number("stride", 1), layer.number("padding", 0)
                groups = layer.number("groups", 1)
                convolve = nn.functional.conv2d
                return convolve(first, self.weight, self.bias, stride, padding, 1, groups)
            case "gemm":
                return nn.functional.linear(first, self.weight, self.bias)
            case "matmul":
                second = self.weight if layer.weights else inputs[1]
                product = torch.matmul(first, second)
                return product + self.bias if len(layer.weights) > 1 else product
            case "max_pool":
                size = layer.number("size", 2)
                return nn.functional.max_pool2d(first, size, layer.number("stride", size))
            case "transpose":
                return first.permute(layer.numbers("order"))
            case "concat":
                return torch.cat(inputs, layer.number("axis", 1))
        return _plain(layer.op, inputs)


def _plain(op: str, inputs: tuple[Tensor, ...]) -> Tensor:
    match op:
        case "relu":
            return torch.relu(inputs[0])
        case "softmax":
            return torch.softmax(inputs[0], -1)
        case "add":
            return inputs[0] + inputs[1]
        case "flatten":
            return inputs[0].flatten(1)
        case "global_average_pool":
            return nn.functional.adaptive_avg_pool2d(inputs[0], 1)
    raise ValueError(f"no module for {op!r}")
