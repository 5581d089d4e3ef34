"""Reading and writing models: modules, ExportedPrograms and `.pt2` files."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # it registers the operators of quantized programs
from torch.export import ExportedProgram

from octavo.backends.pytorch.archive import check_archive
from octavo.backends.pytorch.canonical import canonical, named
from octavo.backends.pytorch.capture import capture
from octavo.backends.pytorch.fake import filled
from octavo.backends.pytorch.functional import functional
from octavo.backends.pytorch.program import Program, Shown, lifted, unlifted
from octavo.backends.pytorch.shapes import specs_of
from octavo.backends.pytorch.source import Source
from octavo.errors import ModelError
from octavo.model import Model

SUFFIX = ".pt2"
FILE = "model.pt2"
NAMES = "octavo.json"
VERSION = 1


@dataclass(frozen=True)
class TorchModel:
    """What `Model.native` is here.

    Attributes:
        original: the program as it was captured, which may write in place; never changed.
        program: the same function in canonical form, or what was built of it.
    """

    original: Program = field(repr=False)
    program: Program = field(repr=False)


def native(model: Model) -> TorchModel:
    """Return the program of a model of this backend.

    Raises:
        ModelError: the model is of another backend.
    """
    if not isinstance(model.native, TorchModel):
        raise ModelError(f"a model of the {model.backend} backend was given to pytorch")
    return model.native


def wrap(program: Program, like: Model) -> Model:
    """Return a model made from `like`."""
    return replace(like, native=TorchModel(program, program), label="")


def load(source: object, name: str, *, trust: bool = False) -> Model:
    """Load a `Source`, an `ExportedProgram` or a `.pt2` file for the backend called `name`."""
    path = Path(source) if isinstance(source, (str, Path)) else None
    if path is not None and (path / NAMES).is_file():
        return restore(path, name, trust=trust)
    with _quiet():
        exported = _exported(source, path, trust)
        program = canonical(named(functional(exported)))
        return _model(TorchModel(named(unlifted(exported)), program), name, path)


def _exported(source: object, path: Path | None, trust: bool) -> ExportedProgram:
    if path is not None:
        return _read(path, trust)
    if isinstance(source, ExportedProgram):
        return source
    if isinstance(source, Source):
        return capture(source)
    if isinstance(source, torch.nn.Module):
        if hasattr(source, "dummy_inputs"):
            return capture(Source(source))
        raise ModelError(
            f"{type(source).__qualname__} does not tell what it reads; expected "
            "octavo.backends.pytorch.Source(module, (example, ...)), or torch.export.export of it"
        )
    raise ModelError(
        "expected a torch module with example inputs, an ExportedProgram or a .pt2 file, "
        f"got {type(source).__qualname__}"
    )


def _model(model: TorchModel, name: str, path: Path | None) -> Model:
    inputs, outputs = specs_of(model.program)
    if not outputs:
        raise ModelError("the model returns no tensor")
    return Model(name, model, inputs, outputs, path)


def _read(path: Path, trust: bool) -> ExportedProgram:
    if not path.is_file():
        raise ModelError(f"no {SUFFIX} file at {str(path)!r}")
    if not trust:
        check_archive(path)
    try:
        return torch.export.load(path)
    except Exception as error:  # the reader raises types of its own, and any of a damaged file
        raise ModelError(
            f"{str(path)!r} cannot be read by torch.export.load: "
            f"{' '.join(str(error).split())[:400]}"
        ) from error


def save(model: Model, folder: Path) -> None:
    """Write `model.pt2`, an ExportedProgram without code, and what its names mean beside it."""
    program = native(model).program
    with _quiet():
        torch.export.save(lifted(filled(program)), folder / FILE)
    names = {
        "version": VERSION,
        "shown": {name: asdict(shown) for name, shown in program.shown.items()},
        "owners": dict(program.owners),
    }
    (folder / NAMES).write_text(json.dumps(names, indent=1) + "\n")


def restore(folder: Path, name: str, *, trust: bool = False) -> Model:
    """Read what `save` wrote, for the backend called `name`.

    Raises:
        ModelError: a file is missing, damaged or of another version.
        TrustError: it was replaced by one that can run code, and `trust` is False.
    """
    names = _names(folder / NAMES)
    with _quiet():
        read = unlifted(_read(folder / FILE, trust))
    shown = {tensor: Shown(**entry) for tensor, entry in names["shown"].items()}
    program = replace(read, shown=shown, owners=names["owners"])
    return _model(TorchModel(program, program), name, folder)


def _names(path: Path) -> Mapping[str, Any]:
    try:
        names: Mapping[str, Any] = json.loads(path.read_text())
        if names["version"] != VERSION:
            raise ValueError(f"its version is {names['version']}, not {VERSION}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{str(path)!r} is missing or damaged ({error}); expected what save() writes"
        ) from None
    return names


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what `torch.export` logs of attempts that may fail, and its warnings, from users."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
