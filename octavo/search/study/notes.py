"""Results of stages: JSON beside the trials, or in a file with a checksum where they are big."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

BIG = 1 << 15
"""Characters of JSON from which on a payload gets a file, where there is a folder."""

LONGEST = 80
"""Characters of a stage's name in the name of its file."""


def pack(folder: Path | None, stage: str, payload: object) -> dict[str, Any]:
    """Return what is stored for a payload; a big one is written into the folder before.

    Arrays and their scalars become lists and numbers, without a loss of digits.
    """
    text = json.dumps(payload, default=_plain)
    if folder is None or len(text) < BIG:
        return {"payload": json.loads(text)}
    content = text.encode()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{re.sub('[^A-Za-z0-9_-]+', '-', stage)[:LONGEST]}-{sha256[:12]}.json"
    unfinished = folder / f".{name}"
    with unfinished.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(folder / name)
    return {"file": name, "sha256": sha256}


def unpack(folder: Path | None, stored: Mapping[str, Any] | None) -> Any | None:
    """Return the payload; None where there is none, or its file is missing or was changed."""
    if stored is None or "payload" in stored:
        return None if stored is None else stored["payload"]
    file = (folder or Path()) / stored["file"]
    content = file.read_bytes() if file.is_file() else b""
    return json.loads(content) if hashlib.sha256(content).hexdigest() == stored["sha256"] else None


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__qualname__} has no JSON form")


def plain(value: object) -> Any:
    """Return a value as JSON would give it back."""
    return json.loads(json.dumps(value, default=_plain))
