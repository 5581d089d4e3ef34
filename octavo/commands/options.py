"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from rich.table import Table

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, no table.")
]
Debug: TypeAlias = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
]
"""Declared for the help; `octavo.cli.main` looks for it when a command fails."""
Trust: TypeAlias = Annotated[
    bool, typer.Option("--trust", help="Accept files that can run code of their own.")
]
Data: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="Inputs: digits[:N], images:DIR, npz:FILE_OR_DIR, a path."),
]


@contextlib.contextmanager
def output(as_json: bool) -> Iterator[Callable[[Mapping[str, Any], Callable[..., Table]], None]]:
    """Give a function that prints a result, as JSON or as a table.

    With `as_json`, what anything else prints meanwhile goes to standard error.
    """
    stdout = sys.stdout

    def show(result: Mapping[str, Any], table: Callable[[Mapping[str, Any]], Table]) -> None:
        if as_json:
            print(json.dumps(result, indent=1, allow_nan=False), file=stdout)
            return
        from octavo.report.terminal import console

        console().print(table(result))

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield show
