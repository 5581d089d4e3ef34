"""Reading and writing networks: a `.refnet` folder of JSON and arrays, no pickle and no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from octavo.arrays import Array
from octavo.backends.reference.execute import BORDERS, Program, execute
from octavo.backends.reference.kernels import OPERATORS
from octavo.backends.reference.network import Layer, Network
from octavo.errors import ModelError
from octavo.measure.quantization import Quantization
from octavo.model import Model, TensorSpec
from octavo.plan import Scheme

STRUCTURE = "network.json"
ARRAYS = "arrays.npz"
VERSION = 1
SUFFIX = ".refnet"


def load(source: object, backend: str) -> Model:
    """Load a `Network` or the folder that `save` wrote.

    Raises:
        ModelError: it cannot be read, or it is not a complete network.
    """
    if isinstance(source, Network):
        return wrap(Program(_checked(source)), backend)
    if isinstance(source, (str, Path)):
        return wrap(read(Path(source)), backend, Path(source))
    raise ModelError(f"expected a Network or a {SUFFIX} folder, got {type(source).__qualname__}")


def wrap(program: Program, backend: str, source: Path | None = None) -> Model:
    """Return the handle on a program."""
    network = program.network
    shapes = {spec.name: spec for spec in network.inputs}
    outputs = tuple(shapes.get(name, _output(program, name)) for name in network.outputs)
    return Model(backend, program, network.inputs, outputs, source)


def _output(program: Program, name: str) -> TensorSpec:
    zeros = {spec.name: np.zeros(spec.concrete(), spec.dtype) for spec in program.network.inputs}
    array = execute(program, zeros, [name])[0][name]
    free = program.network.inputs[0].shape[0]
    return TensorSpec(name, str(array.dtype), (free, *array.shape[1:]))


def native(model: Model) -> Program:
    """Return the program of a model of this backend.

    Raises:
        ModelError: the model is of another backend.
    """
    if not isinstance(model.native, Program):
        raise ModelError(f"a model of the {model.backend} backend was given to reference")
    return model.native


def save(program: Program, folder: Path) -> None:
    """Write a program into an existing folder."""
    network = program.network
    structure = {
        "version": VERSION,
        "name": network.name,
        "inputs": [asdict(spec) for spec in network.inputs],
        "outputs": network.outputs,
        "layers": [asdict(layer) for layer in network.layers],
        "schemes": {name: asdict(value.scheme) for name, value in program.quantization.items()},
    }
    arrays = {f"weight/{name}": array for name, array in network.weights.items()}
    for name, quantization in program.quantization.items():
        arrays[f"scale/{name}"] = quantization.scale
        arrays[f"zero_point/{name}"] = quantization.zero_point
    (folder / STRUCTURE).write_text(json.dumps(structure, indent=1))
    with (folder / ARRAYS).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle


def read(folder: Path) -> Program:
    """Read what `save` wrote.

    Raises:
        ModelError: a file is missing, truncated or of another kind.
    """
    try:
        structure = json.loads((folder / STRUCTURE).read_text())
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            return _parse(structure, dict(arrays))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise ModelError(
            f"{str(folder)!r} is not a readable {SUFFIX} folder ({error}); "
            f"expected {STRUCTURE} and {ARRAYS} as save() writes them"
        ) from error


def _parse(structure: Mapping[str, Any], arrays: Mapping[str, Array]) -> Program:
    if structure["version"] != VERSION:
        raise ValueError(f"its version is {structure['version']}, not {VERSION}")
    prefix = "weight/"
    network = Network(
        name=structure["name"],
        inputs=tuple(_spec(entry) for entry in structure["inputs"]),
        outputs=tuple(structure["outputs"]),
        layers=tuple(_layer(entry) for entry in structure["layers"]),
        weights={n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)},
    )
    quantization = {
        name: Quantization(arrays[f"scale/{name}"], arrays[f"zero_point/{name}"], Scheme(**scheme))
        for name, scheme in structure["schemes"].items()
    }
    return Program(_checked(network), quantization)


def _spec(entry: Mapping[str, Any]) -> TensorSpec:
    return replace(TensorSpec(**entry), shape=tuple(entry["shape"]))


def _layer(entry: Mapping[str, Any]) -> Layer:
    attributes = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry["attributes"].items()
    }
    inputs, weights = tuple(entry["inputs"]), tuple(entry["weights"])
    return Layer(entry["name"], entry["op"], inputs, entry["output"], weights, attributes)


def _checked(network: Network) -> Network:
    """Refuse a network with an unknown operator, or one that reads what nothing makes."""
    known = {spec.name for spec in network.inputs}
    for layer in network.layers:
        if layer.op not in OPERATORS | BORDERS:
            raise ModelError(f"layer {layer.name!r} has the unknown operator {layer.op!r}")
        absent = [name for name in layer.inputs if name not in known]
        absent += [name for name in layer.weights if name not in network.weights]
        if absent:
            raise ModelError(f"layer {layer.name!r} reads {absent[0]!r}, which nothing makes")
        known.add(layer.output)
    for name in network.outputs:
        if name not in known:
            raise ModelError(f"nothing makes the output {name!r}")
    return network
