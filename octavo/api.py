"""The Python face of Octavo; each function is also a command."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from octavo.data import DataSource
from octavo.errors import UsageError
from octavo.job import QuantizeJob
from octavo.tolerance import Tolerance
from octavo.workflow.benchmark import BenchmarkOptions, run_benchmark
from octavo.workflow.benchmarked import Benchmark
from octavo.workflow.cases import latency_limit, make_grid
from octavo.workflow.compare import Comparison, run_compare
from octavo.workflow.contestants import Sources
from octavo.workflow.evaluation import MetricSource, Predict
from octavo.workflow.explain import Explanation, run_explain
from octavo.workflow.inputs import Given
from octavo.workflow.quantize import run
from octavo.workflow.reporter import LogReporter, Reporter
from octavo.workflow.result import Result


def quantize(
    model: object,
    *,
    calibration: DataSource | None = None,
    evaluation: DataSource | None = None,
    metric: MetricSource | None = None,
    evaluate: Callable[[Predict], float] | None = None,
    higher_is_better: bool = True,
    tolerance: str | float | Tolerance = "1%",
    output: str | Path | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> Result:
    """Make an INT8 model that keeps the accuracy of an FP32 model and is measured faster.

    Plans are built, judged and measured for real, until one is within the tolerance and faster. A
    run never ends with nothing, nor with a slower model: where no plan holds, the result is the
    most accurate INT8 model that is faster, or the float model where none is (`exit_code` 3 where
    plans lost too much, else 4).

    Args:
        model: a path, or the framework's own object.
        calibration: what ranges are taken from: batches (arrays, dicts of arrays by input name, or
            pairs of either with labels; axis 0 = samples), a data set, a path or a specification
            such as `digits:300`. Without it random data is used, with a warning.
        evaluation: what both models are judged on, in the same forms.
        metric: the name of a metric, or a function `(outputs, labels) -> one score per sample`. By
            default `top1` or `mse` with labels and agreement with FP32 without.
        evaluate: a function of your own in place of `evaluation` and `metric`, `(predict) ->
            score`; `predict(batch)` runs the model. It gives no score per sample, so the verdict is
            a point estimate.
        higher_is_better: the direction of `evaluate`.
        tolerance: the accepted loss: a share of the FP32 value (`"1%"` or 0.01), or
            `"0.5 absolute"` in the metric's own units.
        output: the artifact folder to write; None keeps the result in memory.
        reporter: where to report to; None logs, and warns through `warnings`.
        options: the other options of `QuantizeJob`, by the names they have in YAML.

    Raises:
        UsageError: an unknown option, a pattern that matches nothing, overlapping data.
        ModelError: the model cannot be read.
        DataError: the data cannot be used, or a tensor is not finite (its operator is named).
        ArtifactError: `output` cannot be written; what was there stays.
    """
    job = QuantizeJob(
        source=_text(model),
        calibration=_text(calibration),
        evaluation=_text(evaluation),
        metric=metric if isinstance(metric, str) else None,
        tolerance=Tolerance.parse(tolerance),
        output=_text(output),
        **options,
    )
    given = Given(
        model=_object(model),
        calibration=_object(calibration),
        evaluation=_object(evaluation),
        metric=None if isinstance(metric, str) else metric,
        evaluate=evaluate,
        higher_is_better=higher_is_better,
    )
    return run(job, given, reporter or LogReporter())


def run_job(job: QuantizeJob, reporter: Reporter | None = None) -> Result:
    """Carry out a job that is all text, as the command line and YAML give it; see `quantize`."""
    return run(job, Given(), reporter or LogReporter())


def benchmark(
    model: object,
    *,
    baseline: object | None = None,
    instances: int | str = 1,
    threads: int | None = None,
    sweep: bool = False,
    p99: float | str | None = None,
    batch_size: int | str | Sequence[int] = 1,
    seconds: float = 10.0,
    data: DataSource | None = None,
    shapes: Mapping[str, Sequence[int] | Sequence[Sequence[int]]] | None = None,
    seed: int = 0,
    runtime: str | None = None,
    baseline_runtime: str | None = None,
    trust: bool = False,
    reporter: Reporter | None = None,
) -> Benchmark:
    """Measure a model in pinned processes of its own, alone or in turns with a baseline.

    Each instance is a process on physical cores of its own. Throughput is that of all instances
    together: the samples they completed over the wall-clock time in which all of them ran. Several
    layouts, batch sizes and shapes are measured one after the other, each with all others; a case
    that fails does not end the rest.

    Args:
        model: an artifact folder or an FP32 model.
        baseline: another form of the same model, as a rule FP32; the ratio is `model` over it. A
            source that its runtime runs in a shorter float by default is measured in that and in
            FP32, as `quantize` does: FP32 is in `others`.
        instances: processes that run at the same time, or `auto` for as many as the cores allow.
        threads: threads and cores of each; None uses what an artifact was made for, else 1.
        sweep: measure every layout that uses all cores in place of one.
        p99: the latency that 99 % of the calls are to keep, milliseconds or text such as `20ms`;
            the best case is the one of the highest throughput within it.
        batch_size: samples of one call, or several numbers, unless the model's is fixed.
        seconds: the time for measuring, that for each case and each form of the baseline.
        data: where the inputs come from; None draws random ones.
        shapes: sizes of random inputs by name, the batch first; needed where dimensions are free.
            An input may have several shapes; those of several inputs go together in their order.
        seed: of random inputs and of the confidence interval.
        runtime: what runs `model`, where more than one can (`onnxruntime` or `openvino`); None is
            what an artifact was measured with, else the first.
        baseline_runtime: what runs `baseline`; None is what an artifact was measured with, else
            what runs `model`.
        trust: accept files that can run code of their own.
        reporter: where to report to; None logs.

    Raises:
        UsageError: there are fewer cores than that, the two have different inputs, `shapes`
            do not fit them, a runtime does not run its model, or `seconds` is not above 0.
        ModelError: a model cannot be read.
        ArtifactError: an artifact is damaged.
    """
    if not 0 < seconds < math.inf:
        raise UsageError(f"cannot measure for {seconds:g} seconds; give a time above 0")
    grid = make_grid(
        instances=instances, threads=threads, sweep=sweep, batch_size=batch_size, shapes=shapes
    )
    options = BenchmarkOptions(
        grid=grid, seconds=seconds, data=data, seed=seed, p99_ms=latency_limit(p99)
    )
    sources = Sources(model, baseline, runtime, baseline_runtime, trust)
    return run_benchmark(sources, options, reporter or LogReporter())


def explain(
    source: object,
    *,
    runtime: str | None = None,
    trust: bool = False,
    reporter: Reporter | None = None,
) -> Explanation:
    """Tell, for every group, its precision, its share of the multiply-adds, and why.

    Args:
        source: an artifact folder (what executed, as audited when it was made), or an FP32 model
            (what `quantize` would ask for first).
        runtime: another runtime than the artifact was made for: it is run there, on random numbers,
            to see what executes; of an FP32 model, what `quantize` would ask of that runtime.
        trust: accept files that can run code of their own.
        reporter: where to report to; None logs.

    Raises:
        UsageError: the runtime does not run it.
    """
    return run_explain(source, runtime, trust, reporter or LogReporter())


def compare(
    fp32: object,
    artifact: str | Path,
    *,
    data: DataSource | None = None,
    samples: int = 16,
    runtime: str | None = None,
    trust: bool = False,
    reporter: Reporter | None = None,
) -> Comparison:
    """Compare FP32 and INT8 layer by layer: the tensors in which they differ most come first.

    Args:
        fp32: the model the artifact was made from.
        artifact: its folder.
        data: where the inputs come from; None takes the data that the artifact was made with, and
            draws random ones, with a warning, where those cannot be opened.
        samples: how many samples.
        runtime: what runs both; None is what the artifact was measured with.
        trust: accept files that can run code of their own.
        reporter: where to report to; None logs.

    Raises:
        UsageError: the artifact was made from another model, or the runtime does not run it.
    """
    return run_compare(
        fp32, str(artifact), data, samples, runtime, trust, reporter or LogReporter()
    )


def _text(given: object) -> str | None:
    return str(given) if isinstance(given, str | Path) else None


def _object(given: Any) -> Any:
    return None if isinstance(given, str | Path) else given
