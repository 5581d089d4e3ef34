"""`octavo benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octavo.commands.options import Data, Debug, Json, Runtime, Trust, all_shapes_of, output
from octavo.errors import UsageError

_INSTANCES, _INPUTS = "Instances", "Inputs"


def benchmark(
    model: Annotated[str, typer.Argument(help="An artifact folder or an FP32 model.")],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Another form of it, to be measured in turns."),
    ] = None,
    runtime: Runtime = None,
    baseline_runtime: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What runs the baseline (its own, or MODEL's)."),
    ] = None,
    instances: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Processes that run at the same time, on cores of their own; auto: as many as "
            "the cores allow.",
            rich_help_panel=_INSTANCES,
        ),
    ] = "1",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            "--cores-per-instance",
            min=1,
            metavar="K",
            help="Threads and cores of each instance (the artifact's, or 1).",
            rich_help_panel=_INSTANCES,
        ),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Measure every layout of instances that uses all cores.",
            rich_help_panel=_INSTANCES,
        ),
    ] = False,
    p99: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The latency that 99 % of the calls are to keep, such as 20ms: the best case is "
            "the fastest within it.",
            rich_help_panel=_INSTANCES,
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Time for measuring a case with one baseline.")
    ] = 10.0,
    batch_size: Annotated[
        str,
        typer.Option(
            metavar="N,...",
            help="Samples of one call, unless fixed; several are measured one after the other.",
            rich_help_panel=_INPUTS,
        ),
    ] = "1",
    data: Data = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=SIZES",
            help="Sizes of an input where random data are used, such as ids=1x128; can be "
            "repeated, for one input too.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of random inputs.", rich_help_panel=_INPUTS)
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw latencies and throughput.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure MODEL in pinned processes, alone or in turns with a baseline."""
    with output(as_json) as show:
        from octavo import api
        from octavo.report.benchmark import benchmark_table
        from octavo.report.progress import ConsoleReporter

        _check_plot(plot)
        result = api.benchmark(
            model,
            baseline=baseline,
            runtime=runtime,
            baseline_runtime=baseline_runtime,
            instances=instances,
            threads=threads,
            sweep=sweep,
            p99=p99,
            batch_size=batch_size,
            seconds=seconds,
            data=data,
            shapes=all_shapes_of(shape),
            seed=seed,
            trust=trust,
            reporter=ConsoleReporter(),
        ).to_json()
        show(result, benchmark_table)
        if plot is not None:
            from octavo.report.plot import write_plot

            write_plot(result, plot)


def _check_plot(path: Path | None) -> None:
    """Refuse a file that cannot be written before anything is measured.

    Raises:
        UsageError: it is of another kind, or lies in no folder.
    """
    if path is None:
        return
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--plot writes SVG; give a file such as {path.with_suffix('.svg').name}")
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"cannot write {str(path)!r}; give a file in an existing folder")
