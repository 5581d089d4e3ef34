"""What can run code in a `.pt2` archive, found without reading it by PyTorch.

`torch.export.load` unpickles tensors and objects that the archive marks so, evaluates the
expressions of its dimensions, and takes any function below `torch` for an operator. What
`torch.export.save` writes of a plain program needs none of that, so that anything else is refused.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from octavo.errors import ModelError, TrustError

_WORDS = (
    "Symbol", "Integer", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "PythonMod",
    "FloorDiv", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt", "TruncToInt", "RoundToInt",
    "IntTrueDiv", "FloatTrueDiv", "ToFloat", "ModularIndexing", "Where", "PowByNatural", "Identity",
    "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Equality", "Unequality", "LessThan",
    "StrictLessThan", "GreaterThan", "StrictGreaterThan", "Piecewise", "int_oo", "True", "False",
    "positive", "integer", "nonnegative", "real", "true", "false",
)  # fmt: skip
_EXPRESSION = re.compile(
    rf"(?:[\s\d.,()*/+<>=!&|~-]|'[a-z]+\d+'|\b[suzif]\d+\b|\b(?:{'|'.join(_WORDS)})\b)*"
)
_OPERATOR = re.compile(r"torch\.ops(\.\w+)+|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|"
                       r"neg|pow|le|lt|ge|gt|eq|ne|and_|or_)|math\.(ceil|floor|trunc|sqrt)|"
                       r"torch\.(sym_\w+)")  # fmt: skip
_ADVICE = "; give trust=True (--trust) if you know where it comes from"


def check_archive(path: Path) -> None:
    """Check that reading an archive of `torch.export.save` runs no code that it brings along.

    Raises:
        ModelError: it is no such archive.
        TrustError: it holds pickled objects, native code, or expressions that are no arithmetic.
    """
    reason = next(_dangers(path), None)
    if reason is not None:
        raise TrustError(f"{str(path)!r} {reason}{_ADVICE}")


def _dangers(path: Path) -> Iterator[str]:
    for name, content in _documents(path):
        if content is None:
            yield f"holds native code or objects ({name})"
        elif name.endswith("_config.json"):
            yield from _pickled(content)
        else:
            yield from _evaluated(content)


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield what JSON the archive holds, and None for every part that is code of its own."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
            if not any(name.startswith("models/") for name in names):
                raise ValueError("it holds no model of torch.export")
            for full, name in zip(archive.namelist(), names, strict=True):
                if name.startswith(("data/aotinductor/", "executorch/", "mtia/")) or _legacy(name):
                    yield name, None
                elif name.endswith(".json"):
                    yield name, json.loads(archive.read(full))
                elif name.startswith("data/sample_inputs/") and not _is_plain(archive.read(full)):
                    yield name, None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{str(path)!r} is not a readable .pt2 file ({error}); expected what torch.export.save "
            "writes"
        ) from error


def _is_plain(content: bytes) -> bool:
    """Return whether an example of inputs holds tensors only; else PyTorch unpickles anything."""
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        return not content
    return True


def _legacy(name: str) -> bool:
    folders = ("data/weights/", "data/constants/")
    return name.startswith(folders) and name.endswith((".pt", ".pkl"))


def _pickled(content: Any) -> Iterator[str]:
    for name, entry in content.get("config", {}).items():
        plain = str(entry.get("path_name", "")).startswith(("weight_", "tensor_"))
        if entry.get("use_pickle") or not plain:
            yield f"holds pickled objects ({name!r})"


def _evaluated(content: Any) -> Iterator[str]:
    for key, value in _leaves(content):
        if key == "expr_str" and not _EXPRESSION.fullmatch(str(value)):
            yield f"has a dimension that is computed by {str(value)[:60]!r}"
        if key == "target" and isinstance(value, str) and _is_call(value):
            yield f"calls {value[:60]!r}"


def _is_call(target: str) -> bool:
    """Return whether a target names a function that is no operator."""
    return target.startswith(("torch.", "_operator", "math", "#")) and not _OPERATOR.fullmatch(
        target
    )


def _leaves(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, (dict, list)):
                yield from _leaves(value)
            else:
                yield key, value
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value)
