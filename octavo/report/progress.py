"""The reporter of the command line: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from octavo.report.terminal import console
from octavo.workflow.reporter import Advance


class ConsoleReporter:
    """Reports on standard error, so that standard output holds the result alone."""

    def __init__(self) -> None:
        self._console = console(stderr=True)

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a line that stands out."""
        self._console.print(Text(f"warning: {text}", style="yellow"), soft_wrap=True)

    @contextmanager
    def track(self, title: str, total: int | None) -> Iterator[Advance]:
        """Show a bar while a step runs, or print its title where there is no terminal.

        A step of unknown length gets no bar: what moves on the screen would disturb measurements.
        """
        if total is None or not self._console.is_terminal:
            self.say(title if total is None else f"{title}: {total} samples")
            yield lambda done: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.advance(task, done)
