"""The types of a job's options: every form that users write, read into one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from octavo.errors import UsageError, nearest
from octavo.plan import CORRECTIONS, Correction
from octavo.tolerance import Tolerance

_SIZES = re.compile(r"[1-9]\d*(\s*[xX,]\s*[1-9]\d*)*")
_DURATION = re.compile(
    r"(?:(\d+\.?\d*)\s*h)?\s*(?:(\d+\.?\d*)\s*m(?:in)?)?\s*(?:(\d+\.?\d*)\s*s?)?"
)
_UNITS = (3600.0, 60.0, 1.0)
_ALL = ", ".join(CORRECTIONS)
_SIDE = {"type": "integer", "minimum": 1}
_SIZES_TEXT = {"type": "string", "pattern": "^[1-9][0-9]*([xX,][1-9][0-9]*)*$"}


def parse_sizes(given: object) -> tuple[int, ...] | None:
    """Return sizes given as one number, numbers or text such as `1x3x224x224`; None for others."""
    if isinstance(given, str):
        text = given.strip()
        return tuple(map(int, re.split("[xX,]", text))) if _SIZES.fullmatch(text) else None
    sizes = tuple(given) if isinstance(given, list | tuple) else (given,)
    whole = [size for size in sizes if isinstance(size, int) and not isinstance(size, bool)]
    return tuple(whole) if whole and len(whole) == len(sizes) and min(whole) >= 1 else None


def _as_patterns(given: object) -> object:
    return (given,) if isinstance(given, str) else given


def _as_numbers(given: object) -> object:
    return (given,) if isinstance(given, int | float) else given


def _as_text(given: object) -> object:
    return str(given) if isinstance(given, Path) else given


def _as_upper(given: object) -> object:
    return given.upper() if isinstance(given, str) else given


def _as_size(given: object) -> object:
    if given is None:
        return None
    sides = parse_sizes(given)
    if sides is None or len(sides) > 2:
        raise UsageError(
            f"size is one number of pixels, such as 224, or height and width, such as 224x320; "
            f"not {given!r}"
        )
    return sides * 2 if len(sides) == 1 else sides


def _as_shapes(given: object) -> object:
    if not isinstance(given, Mapping):
        raise UsageError(
            f"shapes are sizes by input name, such as {{'image': [1, 3, 224, 224]}}, not {given!r}"
        )
    return {name: _as_shape(name, sizes) for name, sizes in given.items()}


def _as_shape(name: object, given: object) -> tuple[int, ...]:
    sizes = parse_sizes(given)
    if sizes is None:
        raise UsageError(
            f"the shape of {name!r} is sizes of at least 1, such as 1x3x224x224; not {given!r}"
        )
    return sizes


def _as_corrections(given: object) -> object:
    if given in ("auto", "none"):
        return given
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, list | tuple) or not parts:
        raise UsageError(f"correct takes auto, none, or some of {_ALL}; not {given!r}")
    names = [part.strip() if isinstance(part, str) else part for part in parts]
    for name in names:
        if name not in CORRECTIONS:
            hint = nearest(name, CORRECTIONS) if isinstance(name, str) else ""
            raise UsageError(f"there is no correction {name!r}{hint or f'; known are {_ALL}'}")
    return tuple(name for name in CORRECTIONS if name in names)


def parse_duration(given: object) -> object:
    """Return seconds from a number or from text such as `90`, `30m`, `1h30m`.

    Raises:
        UsageError: it is neither, or no time at all.
    """
    text = str(given).strip().lower() if not isinstance(given, bool) else ""
    found = _DURATION.fullmatch(text)
    try:
        if found and text:
            parts = zip(_UNITS, found.groups(), strict=True)
            seconds = sum(unit * float(part) for unit, part in parts if part)
        else:
            seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"a time is seconds, or text such as 90s, 30m or 1h30m; not {given!r}")
    return seconds


def _one_or_list(kind: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind}, {"type": "array", "items": {"type": kind}}]})


ToleranceField: TypeAlias = Annotated[
    Tolerance,
    BeforeValidator(Tolerance.parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0, "exclusiveMaximum": 1}]}
    ),
]
Numbers: TypeAlias = Annotated[
    tuple[float, ...], BeforeValidator(_as_numbers), _one_or_list("number")
]
Patterns: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(_as_patterns), _one_or_list("string")
]
Corrections: TypeAlias = Annotated[
    Literal["auto", "none"] | tuple[Correction, ...],
    BeforeValidator(_as_corrections),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["auto", "none"]},
                {"type": "string"},
                {"type": "array", "items": {"enum": list(CORRECTIONS)}, "minItems": 1},
            ]
        }
    ),
]
Duration: TypeAlias = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
Text: TypeAlias = Annotated[str, BeforeValidator(_as_text)]
Layout: TypeAlias = Annotated[
    Literal["NCHW", "NHWC"],
    BeforeValidator(_as_upper),
    WithJsonSchema({"enum": ["NCHW", "NHWC", "nchw", "nhwc"]}),
]
Size: TypeAlias = Annotated[
    tuple[int, int] | None,
    BeforeValidator(_as_size),
    WithJsonSchema(
        {
            "anyOf": [
                _SIDE,
                _SIZES_TEXT,
                {"type": "array", "items": _SIDE, "minItems": 1, "maxItems": 2},
                {"type": "null"},
            ]
        }
    ),
]
Shapes: TypeAlias = Annotated[
    Mapping[str, tuple[int, ...]],
    BeforeValidator(_as_shapes),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [_SIZES_TEXT, {"type": "array", "items": _SIDE, "minItems": 1}]
            },
        }
    ),
]
