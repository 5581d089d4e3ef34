"""The precision that a model's float operators run in, in memory and beside the saved model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from octavo.backends.onnxruntime import load as onnx_load
from octavo.backends.onnxruntime.load import OnnxModel, native
from octavo.errors import ModelError
from octavo.model import Model

Precision: TypeAlias = Literal["f32", "default"]
"""`f32`: float operators compute in float32. `default`: in what OpenVINO takes when nobody asks,
BF16 on processors that multiply it."""

SETTINGS = "openvino.json"


@dataclass(frozen=True)
class OpenVinoModel(OnnxModel):
    """An ONNX model with the precision of its float operators; a plain `OnnxModel` is float32."""

    precision: Precision = "f32"


def precision_of(model: Model) -> Precision:
    """Return the precision that a model's float operators run in."""
    found = native(model)
    return found.precision if isinstance(found, OpenVinoModel) else "f32"


def with_precision(model: Model, precision: Precision, label: str = "") -> Model:
    """Return the same model, to be run in another precision and called `label` in reports."""
    found = native(model)
    changed = OpenVinoModel(found.original, found.canonical, precision=precision)
    return replace(model, native=changed, label=label)


def save(model: Model, folder: Path) -> None:
    """Write `model.onnx`, and `openvino.json` where the precision is not float32."""
    onnx_load.save(model, folder)
    if (precision := precision_of(model)) != "f32":
        (folder / SETTINGS).write_text(json.dumps({"precision": precision}) + "\n")


def restore(folder: Path, name: str) -> Model:
    """Read what `save` wrote, for the backend called `name`.

    Raises:
        ModelError: it cannot be read.
    """
    model = onnx_load.load(folder, name)
    if not (folder / SETTINGS).is_file():
        return model
    try:
        precision = json.loads((folder / SETTINGS).read_text())["precision"]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{str(folder / SETTINGS)!r} is damaged: {error!r}") from None
    if precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise ModelError(f"{str(folder / SETTINGS)!r} asks for {precision!r}; known are {known}")
    return with_precision(model, precision)
