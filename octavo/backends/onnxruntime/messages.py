"""What errors of other packages say, without what only their makers understand."""

from __future__ import annotations

import re

LIMIT = 500
"""Characters of a message that are shown; what is left out of a longer one is its middle."""
WORD = 40
"""Characters of a word that are left out whole rather than cut; paths are longer."""

_PLACE = r"(?:\S*/)?[\w.-]+\.(?:h|hpp|cc|cpp):\d+ "
_FUNCTION = r"(?:[^()]*\w::[^()]*\([^()]*\)(?: const)?(?: \[with [^\]]*\])?|\w+) "
_CONDITION = r"(?:[^.]* was false\. (?=\S))?"
_SOURCE = re.compile(_PLACE + _FUNCTION + _CONDITION)
"""Where in C++ an error comes from: the file, the function and the condition that did not hold."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, as far as it tells a user anything."""
    lines = str(error).strip().splitlines()
    return shorten(_SOURCE.sub("", lines[0]).strip()) if lines else repr(error)


def shorten(text: str) -> str:
    """Return a text of at most `LIMIT` characters: its beginning and its end, in whole words.

    Runtimes name the operator first and the shapes last.
    """
    if len(text) <= LIMIT:
        return text
    half = (LIMIT - len(" ... ")) // 2
    start, end = text[: half + 1], text[-half - 1 :]
    words = start.rsplit(None, 1)[0] if " " in start else ""
    start = words if len(words) > half - WORD else start[:half]
    words = end.split(None, 1)[1] if " " in end.rstrip() else ""
    end = words if len(words) > half - WORD else end[-half:]
    return f"{start.rstrip()} ... {end.lstrip()}"
