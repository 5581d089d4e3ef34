"""A picture as SVG: shapes and text, written by hand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

INK = "#222222"
FAINT = "#d9d9d9"
SIZE = 13
"""The size of text in pixels."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not."""

Anchor = Literal["start", "middle", "end"]


def clean(text: str) -> str:
    """Return a text on one line, with what XML cannot hold replaced."""
    return " ".join(_FORBIDDEN.sub("\ufffd", text).split())


def width_of(text: str, size: int = SIZE) -> float:
    """Return about how wide a text is, in pixels; no narrower than common fonts make it."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return size * (0.6 * (len(text) - wide) + wide)


def shortened(text: str, width: float, size: int = SIZE) -> str:
    """Return a text of at most `width` pixels; what is too much is left out of its middle."""
    if width_of(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = (kept + 1) // 2
        short = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if width_of(short, size) <= width:
            return short
    return "…"


class Picture:
    """Shapes in the order in which they are drawn; coordinates are pixels from the top left."""

    def __init__(self, width: float) -> None:
        """Begin with an empty picture; it gets its height when it is written."""
        self.width = width
        self._parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: Anchor = "start",
        size: int = SIZE,
        bold: bool = False,
        room: float | None = None,
        turned: bool = False,
    ) -> None:
        """Write a line of text on the base line `y`.

        Args:
            x: where it begins, or what `anchor` says.
            y: its base line.
            text: what to write.
            anchor: which part of the text is at `x`.
            size: its size.
            bold: whether it is bold.
            room: how wide it may be; a longer one is shortened, and whole when it is pointed at.
            turned: whether it reads upwards.
        """
        whole = clean(text)
        shown = whole if room is None else shortened(whole, room, size)
        hint = f"<title>{escape(whole)}</title>" if shown != whole else ""
        weight = ' font-weight="bold"' if bold else ""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{weight}{turn}'
            f">{hint}{escape(shown)}</text>"
        )

    def line(
        self, points: Iterable[tuple[float, float]], colour: str, width: float = 1.0, dash: str = ""
    ) -> None:
        """Draw a line through points."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width:g}"'
            f' stroke-linejoin="round"{dashed}/>'
        )

    def bar(
        self, x: float, y: float, width: float, height: float, colour: str, *, hollow: bool = False
    ) -> None:
        """Draw a bar from its top left corner; a hollow one has a pale inside."""
        inside = f'{colour}" fill-opacity="0.25" stroke="{colour}' if hollow else colour
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
            f' fill="{inside}"/>'
        )

    def dot(self, x: float, y: float, colour: str, hint: str) -> None:
        """Draw a dot that says `hint` when it is pointed at."""
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}" stroke="white">'
            f"<title>{escape(clean(hint))}</title></circle>"
        )

    def written(self, height: float, title: str, description: str) -> str:
        """Return the file's content.

        Args:
            height: the height of the picture.
            title: its name, for those who hear it read and for the window's title.
            description: what it shows, for those who do not see it.
        """
        size = f'width="{self.width:.0f}" height="{height:.0f}"'
        head = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}'
            f' viewBox="0 0 {self.width:.0f} {height:.0f}" role="img"'
            f' aria-label={quoteattr(clean(title))} font-family="sans-serif" fill="{INK}">',
            f"<title>{escape(clean(title))}</title>",
            f"<desc>{escape(clean(description))}</desc>",
            f'<rect {size} fill="white"/>',
        ]
        return "\n".join([*head, *self._parts, "</svg>"]) + "\n"
