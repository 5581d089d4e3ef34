"""What the results of a study depend on: only a study with an equal key may be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = 60
"""Characters of a part that a message shows."""


@dataclass(frozen=True)
class StudyKey:
    """Named parts, each a hash or a short text.

    What only says when to stop (the timeout, the number of evaluations) does not belong into it: a
    user resumes with more of both.

    Attributes:
        parts: the parts by name, such as `model`, `data` or `configuration: tolerance`.
    """

    parts: Mapping[str, str]

    @classmethod
    def of(cls, **parts: Any) -> StudyKey:
        """Return a key of any JSON-ready parts.

        Args:
            parts: texts (a fingerprint, a CPU) as they are; a mapping (the configuration, versions)
                gives one part per entry, so that a message can name the entry that differs.
        """
        flat: dict[str, str] = {}
        for name, value in parts.items():
            entries = value if isinstance(value, Mapping) else {None: value}
            for entry, one in entries.items():
                flat[name if entry is None else f"{name}: {entry}"] = _text(one)
        return cls(flat)

    def differences(self, was: StudyKey) -> list[str]:
        """Return a phrase for every part in which this key is not `was`."""
        phrases = []
        for name in dict.fromkeys((*was.parts, *self.parts)):
            old, new = was.parts.get(name), self.parts.get(name)
            if old != new:
                phrases.append(f"{name} (was {_shown(old)}, is {_shown(new)})")
        return phrases

    def to_json(self) -> dict[str, str]:
        """Return a JSON-ready form."""
        return dict(self.parts)


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON-ready value, for a part that is too long to show."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _shown(text: str | None) -> str:
    if text is None:
        return "absent"
    if len(text) == 64 and not set(text) - set("0123456789abcdef"):  # a SHA-256
        return f"{text[:12]}..."
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")
