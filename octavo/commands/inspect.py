"""`octavo doctor`, `octavo explain` and `octavo compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from octavo.commands.options import Data, Debug, Json, Runtime, Trust, output


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Tell what this machine runs in INT8, what is missing, and what disturbs a benchmark."""
    with output(as_json) as show:
        from octavo.doctor import diagnose
        from octavo.report.doctor import doctor_table

        show(diagnose().to_json(), doctor_table)


def explain(
    source: Annotated[str, typer.Argument(metavar="DIR|MODEL", help="An artifact or a model.")],
    runtime: Runtime = None,
    trust: Trust = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell for every group its precision, its share of the multiply-adds, and why."""
    with output(as_json) as show:
        from octavo import api
        from octavo.report.progress import ConsoleReporter
        from octavo.report.terminal import explain_table

        result = api.explain(source, runtime=runtime, trust=trust, reporter=ConsoleReporter())
        show(result.to_json(), explain_table)


def compare(
    fp32: Annotated[str, typer.Argument(metavar="FP32", help="The model it was made from.")],
    artifact: Annotated[str, typer.Argument(metavar="DIR", help="The artifact.")],
    data: Data = None,
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="Samples to compare.")] = 16,
    runtime: Runtime = None,
    trust: Trust = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show layer by layer where the outputs of FP32 and INT8 part."""
    with output(as_json) as show:
        from octavo import api
        from octavo.report.progress import ConsoleReporter
        from octavo.report.terminal import compare_table

        result = api.compare(
            fp32,
            artifact,
            data=data,
            samples=samples,
            runtime=runtime,
            trust=trust,
            reporter=ConsoleReporter(),
        )
        show(result.to_json(), compare_table)
