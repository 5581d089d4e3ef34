"""`octavo quantize` and `octavo schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from octavo.commands.options import Debug, Json, output, shapes_of
from octavo.errors import UsageError

_DATA, _JUDGE, _PLAN = "Data", "Accuracy", "Plan"
_SEARCH, _RUN = "Search", "Run"


def quantize(
    source: Annotated[
        str | None, typer.Argument(help="The FP32 model: a file or a folder.", show_default=False)
    ] = None,
    output_folder: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="The artifact folder to write."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A YAML file with any of these options; flags win."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Data to take ranges from: digits:300, images:DIR, npz:FILE_OR_DIR, a path or "
            "module:function.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    evaluation: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Data to judge both models on.", rich_help_panel=_DATA),
    ] = None,
    calibration_samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Calibrate on at most N (that of SPEC, else 300).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    evaluation_samples: Annotated[
        int | None,
        typer.Option(metavar="N", help="Evaluate on at most N (all).", rich_help_panel=_DATA),
    ] = None,
    allow_overlap: Annotated[
        bool | None,
        typer.Option(
            "--allow-overlap",
            help="Accept evaluation samples that calibration saw.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="N|HxW", help="Size of the pictures.", rich_help_panel=_DATA),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Shorter side of pictures before the cut.", rich_help_panel=_DATA
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Subtracted from scaled pixels.", rich_help_panel=_DATA),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Pixels are divided by it.", rich_help_panel=_DATA),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Factor on pixels of 0 to 255 (1/255).", rich_help_panel=_DATA),
    ] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(
            metavar="nearest|bilinear|bicubic|lanczos",
            help="How pixels are resampled (bilinear).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="NCHW or NHWC (found).", rich_help_panel=_DATA)
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=SIZES",
            help="Sizes of an input where random data are used, such as image=1x3x224x224; can "
            "be repeated.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="How outputs are judged (what fits).", rich_help_panel=_JUDGE
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            help="The accepted loss: 1% of FP32, or '0.5 absolute' in the metric's units (1%).",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    approach: Annotated[
        str | None,
        typer.Option(
            metavar="auto|static|dynamic",
            help="When activation ranges are found (auto).",
            rich_help_panel=_PLAN,
        ),
    ] = None,
    ranges: Annotated[
        str | None,
        typer.Option(
            metavar="auto|minmax|percentile|entropy|mse",
            help="How statistics become ranges (auto).",
            rich_help_panel=_PLAN,
        ),
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(help="Percent of values kept (99.999).", rich_help_panel=_PLAN),
    ] = None,
    correct: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|NAME,...",
            help="Changes that recover accuracy: equalize, smooth, round, bias (auto).",
            rich_help_panel=_PLAN,
        ),
    ] = None,
    per_channel: Annotated[
        bool | None,
        typer.Option(
            "--per-channel/--per-tensor", help="Weight scales (per channel).", rich_help_panel=_PLAN
        ),
    ] = None,
    float_: Annotated[
        list[str] | None,
        typer.Option(
            "--float",
            metavar="PATTERN",
            help="Groups that stay float, such as 'head/*'; can be repeated.",
            rich_help_panel=_PLAN,
        ),
    ] = None,
    int8: Annotated[
        list[str] | None,
        typer.Option(
            "--int8",
            metavar="PATTERN",
            help="Groups that are forced to INT8; can be repeated.",
            rich_help_panel=_PLAN,
        ),
    ] = None,
    requantize: Annotated[
        bool | None,
        typer.Option(
            "--requantize",
            help="Take out the quantization that the model carries, and quantize it anew.",
            rich_help_panel=_PLAN,
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="speed|size|memory",
            help="What is wanted of an accurate plan (speed).",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="solve|fallback|tpe|random|grid|nsga2",
            help="How plans are found (solve).",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    max_evaluations: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Begin no further plan after N evaluations.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Begin no further plan after it: 90s, 30m, 2h.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Where trials are kept (DIR/study).",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume",
            help="Go on with the study of an earlier run.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What runs the model: onnxruntime or openvino (the first).",
            rich_help_panel=_RUN,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads of one instance (1).", rich_help_panel=_RUN),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Samples of one forward while calibrating and evaluating (32).",
            rich_help_panel=_RUN,
        ),
    ] = None,
    benchmark_batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Samples of one forward when timed (1).", rich_help_panel=_RUN
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time for measuring one pair of models (10).", rich_help_panel=_RUN),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of random choices (0).", rich_help_panel=_RUN)
    ] = None,
    trust: Annotated[
        bool | None,
        typer.Option(
            "--trust", help="Accept files that can run code of their own.", rich_help_panel=_RUN
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Make an INT8 model that keeps the accuracy of SOURCE and is measured faster."""
    preprocessing = _given(
        size=size,
        resize=resize,
        mean=_numbers("mean", mean),
        std=_numbers("std", std),
        scale=scale,
        interpolation=interpolation,
        layout=layout,
    )
    flags = _given(
        source=source,
        output=output_folder,
        calibration=calibration,
        evaluation=evaluation,
        calibration_samples=calibration_samples,
        evaluation_samples=evaluation_samples,
        allow_overlap=allow_overlap,
        shapes=shapes_of(shape) or None,
        metric=metric,
        tolerance=tolerance,
        approach=approach,
        ranges=ranges,
        percentile=percentile,
        correct=correct,
        per_channel=per_channel,
        float=float_ or None,
        int8=int8 or None,
        requantize=requantize,
        objective=objective,
        strategy=strategy,
        max_evaluations=max_evaluations,
        timeout=timeout,
        study=study,
        resume=resume,
        runtime=runtime,
        threads=threads,
        batch_size=batch_size,
        benchmark_batch_size=benchmark_batch_size,
        seconds=seconds,
        seed=seed,
        trust=trust,
    )
    return _run(config, flags, preprocessing, as_json)


def _run(
    config: Path | None, flags: dict[str, Any], preprocessing: dict[str, Any], as_json: bool
) -> int:
    with output(as_json) as show:
        from octavo.job import QuantizeJob, read_yaml

        options = (read_yaml(config) if config else {}) | flags
        if preprocessing:
            options["preprocessing"] = (options.get("preprocessing") or {}) | preprocessing
        job = QuantizeJob(**options)
        if job.source is None:
            raise UsageError("no model was given; name a file, or set 'source' in the job file")
        if job.output is None:
            raise UsageError("no output folder was given; add -o DIR")
        from octavo.api import run_job
        from octavo.report.progress import ConsoleReporter
        from octavo.report.terminal import quantize_table

        result = run_job(job, ConsoleReporter())
        show(result.to_json(), quantize_table)
        return int(result.exit_code)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--{name} takes numbers such as 0.5,0.5,0.5, not {text!r}") from None


def schema() -> None:
    """Print the JSON Schema of a job file."""
    from octavo.job import job_schema

    print(job_schema())
