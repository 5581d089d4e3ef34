"""The application that holds all commands."""

from __future__ import annotations

from typing import Annotated

import typer

import octavo
from octavo.commands import inspect, job, measure

app = typer.Typer(
    name="octavo",
    help="FP32 models in, INT8 models out: proven accurate, measured faster.",
    epilog="Exit codes: 0 done; 2 bad usage or input; 3 tolerance not reached (the most accurate "
    "faster model is saved, or the float one); 4 INT8 was not faster (the float model is kept); "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("doctor")(inspect.doctor)
app.command("quantize")(job.quantize)
app.command("benchmark")(measure.benchmark)
app.command("explain")(inspect.explain)
app.command("compare")(inspect.compare)
app.command("schema")(job.schema)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"octavo {octavo.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """FP32 models in, INT8 models out: proven accurate, measured faster."""
