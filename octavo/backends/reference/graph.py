"""Describing a network in neutral terms."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np

from octavo.arrays import Array
from octavo.backends.reference.execute import Program, execute
from octavo.backends.reference.kernels import MOVES, PRODUCTS
from octavo.backends.reference.linear import linear_of, scaling_of
from octavo.backends.reference.network import Layer, Network
from octavo.errors import ModelError
from octavo.graph import Capability, Graph, Group, Kind, Op, Role, Tensor
from octavo.plan import S8, U8, Format
from octavo.target import Target

KINDS: Mapping[str, Kind] = {
    "conv": "conv",
    "gemm": "matmul",
    "matmul": "matmul",
    "scale": "mul",
    "relu": "activation",
    "softmax": "softmax",
    "add": "add",
    "concat": "concat",
    "flatten": "move",
    "transpose": "move",
    "max_pool": "pool",
    "global_average_pool": "pool",
}
FUSES_RELU = frozenset({"conv", "gemm", "add"})
FLOAT_ONLY = {
    "relu": "a ReLU has an integer form only behind a conv, gemm or add",
    "softmax": "there is no integer softmax here",
    "scale": "there is no integer product of channels with constants here",
}


def describe(program: Program, target: Target) -> Graph:
    """Return the graph of a float network.

    Raises:
        ModelError: the model is quantized already.
    """
    network = program.network
    if program.quantization:
        raise ModelError("the model is quantized already; expected the float model it was made of")
    arrays = _sample(program, target)
    return Graph(
        ops=tuple(_op(layer, network, arrays) for layer in network.layers),
        tensors=_tensors(network, arrays),
        groups=tuple(_group(layers, network, arrays) for layers in partition(network)),
        inputs=tuple(spec.name for spec in network.inputs),
        outputs=network.outputs,
        fingerprint=fingerprint(network),
    )


def _sample(program: Program, target: Target) -> dict[str, Array]:
    """Run zeros of the target's shapes to know every shape and dtype."""
    network = program.network
    zeros = {
        spec.name: np.zeros(target.shapes.get(spec.name, spec.concrete()), spec.dtype)
        for spec in network.inputs
    }
    values, _ = execute(program, zeros, [layer.output for layer in network.layers])
    return values


def partition(network: Network) -> list[tuple[Layer, ...]]:
    """Return the layers of every group: a ReLU joins the layer that it alone reads."""
    readers = Counter(name for layer in network.layers for name in layer.inputs)
    readers.update(network.outputs)
    relus = {layer.inputs[0]: layer for layer in network.layers if layer.op == "relu"}
    groups: list[tuple[Layer, ...]] = []
    fused: set[str] = set()
    for layer in network.layers:
        relu = relus.get(layer.output)
        joins = relu is not None and layer.op in FUSES_RELU and readers[layer.output] == 1
        if layer.name not in fused:
            groups.append((layer, relu) if joins and relu is not None else (layer,))
        if joins and relu is not None:
            fused.add(relu.name)
    return groups


def fingerprint(network: Network) -> str:
    """Return the SHA-256 of structure, attributes and weights, whatever the network's name."""
    structure = [[asdict(part) for part in parts] for parts in (network.inputs, network.layers)]
    text = json.dumps([structure, network.outputs], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for name in sorted(network.weights):
        array = np.ascontiguousarray(network.weights[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _op(layer: Layer, network: Network, arrays: Mapping[str, Array]) -> Op:
    return Op(
        name=layer.name,
        kind=KINDS[layer.op],
        native=layer.op,
        inputs=layer.inputs,
        outputs=(layer.output,),
        weights=layer.weights,
        macs=_macs(layer, network, arrays),
        attributes=layer.attributes,
        linear=linear_of(layer, network),
        scaling=scaling_of(layer, arrays[layer.inputs[0]].shape),
    )


def _macs(layer: Layer, network: Network, arrays: Mapping[str, Array]) -> int:
    if layer.op not in PRODUCTS:
        return 0
    size = arrays[layer.output].size
    if layer.op == "conv":
        return size * math.prod(network.weights[layer.weights[0]].shape[1:])
    return int(size * arrays[layer.inputs[0]].shape[-1])


def _tensors(network: Network, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    ties = tied(network)
    return {
        name: Tensor(
            name=name,
            dtype=str(array.dtype),
            shape=array.shape,
            channel_axis=1 if array.ndim == 4 else array.ndim - 1,
            tie=ties.get(name),
        )
        for name, array in arrays.items()
    }


def tied(network: Network) -> dict[str, str]:
    """Return the tie of every tensor that a moving layer reads or makes; its name is a member's."""
    ties: dict[str, str] = {}
    for layer in network.layers:
        if layer.op in MOVES:
            members = (*layer.inputs, layer.output)
            joined = {ties.get(name, name) for name in members}
            ties.update(dict.fromkeys(members, min(joined)))
            ties = {name: min(joined) if tie in joined else tie for name, tie in ties.items()}
    return ties


def _group(layers: tuple[Layer, ...], network: Network, arrays: Mapping[str, Array]) -> Group:
    main, last = layers[0], layers[-1]
    role, options = _options(main)
    return Group(
        id=main.name,
        kind=KINDS[main.op],
        role=role,
        ops=tuple(layer.name for layer in layers),
        inputs=main.inputs,
        outputs=(last.output,),
        options=options,
        pattern=_pattern(layers, network, arrays),
        macs=_macs(main, network, arrays),
    )


def _options(layer: Layer) -> tuple[Role, tuple[Capability, ...]]:
    if layer.op in FLOAT_ONLY:
        return "float", (Capability(Format("int8"), FLOAT_ONLY[layer.op]),)
    entering = (U8,) * len(layer.inputs)
    if layer.op not in PRODUCTS:
        return "follow", (Capability(Format("int8", None, entering, (U8,))),)
    axis = 1 if layer.op == "matmul" else 0
    weight = replace(S8, axis=axis) if layer.weights else None
    quantized = Format("int8", weight, entering, (U8,))
    formats = [quantized, replace(quantized, outputs=(None,))]
    if weight is not None and layer.op != "conv":
        formats.append(Format("int8_dynamic", weight, entering, (None,)))
    return "compute", tuple(map(Capability, formats))


def _pattern(layers: tuple[Layer, ...], network: Network, arrays: Mapping[str, Array]) -> str:
    main = layers[0]
    shapes = [arrays[name].shape for name in main.inputs]
    shapes += [constant.shape for constant in network.constants(main)]
    sizes = ",".join("x".join(map(str, shape)) for shape in shapes)
    attributes = ",".join(f"{key}={value}" for key, value in sorted(main.attributes.items()))
    return f"{'+'.join(layer.op for layer in layers)}({sizes};{attributes})"
