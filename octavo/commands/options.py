"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from octavo.errors import UsageError

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
Runtime: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="What runs it: onnxruntime or openvino (what it was made for)."
    ),
]
Data: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="Inputs: digits:N, images:DIR, npz:FILE_OR_DIR, a path."),
]
Shape: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="INPUT=SIZES",
        help="Sizes of an input where random data are used, such as image=1x3x224x224; can be "
        "repeated.",
    ),
]


def shapes_of(given: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Return the shapes by input name that `--shape` was given.

    Raises:
        UsageError: one is not of the form `INPUT=SIZES`.
    """
    return {name: shapes[-1] for name, shapes in all_shapes_of(given).items()}


def all_shapes_of(given: list[str] | None) -> dict[str, list[tuple[int, ...]]]:
    """Return all shapes of each input that `--shape` was given, in their order.

    Raises:
        UsageError: one is not of the form `INPUT=SIZES`.
    """
    from octavo.fields import parse_sizes

    shapes: dict[str, list[tuple[int, ...]]] = {}
    for text in given or ():
        name, _, sizes = text.rpartition("=")
        shape = parse_sizes(sizes)
        if not name or shape is None:
            raise UsageError(
                f"--shape takes INPUT=SIZES such as image=1x3x224x224, each at least 1; not "
                f"{text!r}"
            )
        shapes.setdefault(name, []).append(shape)
    return shapes


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
