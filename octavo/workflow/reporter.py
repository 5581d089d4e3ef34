"""What a run tells while it works; the command line shows it, Python logs it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

Advance: TypeAlias = Callable[[int], None]
"""Takes the number of samples that were done since the last call."""


class OctavoWarning(UserWarning):
    """Something the user should know about a result that is still valid."""


class Reporter(Protocol):
    """Where a run reports to."""

    def say(self, text: str) -> None:
        """Tell what is being done or was found."""
        ...

    def warn(self, text: str) -> None:
        """Tell what the user should not overlook."""
        ...

    def track(self, title: str, total: int | None) -> AbstractContextManager[Advance]:
        """Show how far a step of `total` samples is; None where that is not known."""
        ...


class LogReporter:
    """Python's own means: the logger `octavo` and `OctavoWarning`."""

    def say(self, text: str) -> None:
        """Log on level INFO."""
        logging.getLogger("octavo").info(text)

    def warn(self, text: str) -> None:
        """Issue an `OctavoWarning`."""
        warnings.warn(text, OctavoWarning, stacklevel=4)

    @contextmanager
    def track(self, title: str, total: int | None) -> Iterator[Advance]:
        """Log the title and nothing more."""
        self.say(title if total is None else f"{title}: {total} samples")
        yield lambda done: None


class NotingReporter:
    """Passes everything on and keeps the warnings, which the manifest holds.

    Attributes:
        notes: the warnings so far.
    """

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner
        self.notes: list[str] = []

    def say(self, text: str) -> None:
        """Pass it on."""
        self._inner.say(text)

    def warn(self, text: str) -> None:
        """Keep it and pass it on."""
        self.notes.append(text)
        self._inner.warn(text)

    def track(self, title: str, total: int | None) -> AbstractContextManager[Advance]:
        """Pass it on."""
        return self._inner.track(title, total)
