"""`octavo benchmark`."""

from __future__ import annotations

from typing import Annotated

import typer

from octavo.commands.options import Data, Debug, Json, Runtime, Shape, Trust, output, shapes_of


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
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            "--cores-per-instance",
            min=1,
            metavar="N",
            help="Threads of the instance (the artifact's, or 1).",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Samples of one call, unless fixed.")
    ] = 1,
    seconds: Annotated[float, typer.Option(help="Time for measuring.")] = 10.0,
    data: Data = None,
    shape: Shape = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random inputs.")] = 0,
    trust: Trust = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure MODEL in a pinned process, alone or in turns with a baseline."""
    with output(as_json) as show:
        from octavo import api
        from octavo.report.progress import ConsoleReporter
        from octavo.report.terminal import benchmark_table

        result = api.benchmark(
            model,
            baseline=baseline,
            runtime=runtime,
            baseline_runtime=baseline_runtime,
            threads=threads,
            batch_size=batch_size,
            seconds=seconds,
            data=data,
            shapes=shapes_of(shape),
            seed=seed,
            trust=trust,
            reporter=ConsoleReporter(),
        )
        show(result.to_json(), benchmark_table)
