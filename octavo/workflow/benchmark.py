"""Measuring models that are on disk, alone or against a baseline."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from octavo.bench import PairResult, SingleResult, measure_pair, measure_single
from octavo.data import DataSource, open_dataset
from octavo.errors import UsageError
from octavo.model import TensorSpec
from octavo.target import Target
from octavo.workflow.batches import fixed_batch, sized
from octavo.workflow.drawn import draw
from octavo.workflow.opened import Opened, names_artifact, open_any
from octavo.workflow.reporter import Reporter


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Attributes:
        measured: one model, or two in turns.
    """

    measured: SingleResult | PairResult

    def to_json(self) -> dict[str, Any]:
        """Return what `octavo benchmark --json` prints."""
        return self.measured.to_json()


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to measure.

    Attributes:
        threads: threads of the one instance; None uses what the artifact was made for, else 1.
        batch_size: samples of one call, unless the model's is fixed.
        seconds: the time for measuring.
        data: where the inputs come from; None draws random ones.
        seed: of random inputs and of the bootstrap.
        trust: accept files that can run code of their own.
        shapes: of random inputs by name, with the sample axis.
        runtime: what runs the model; None is what an artifact was measured with, else the first
            that can.
        baseline_runtime: what runs the baseline; None is what an artifact was measured with, else
            what runs the model.
    """

    threads: int | None = None
    batch_size: int = 1
    seconds: float = 10.0
    data: DataSource | None = None
    seed: int = 0
    trust: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    runtime: str | None = None
    baseline_runtime: str | None = None


def run_benchmark(
    source: object, baseline: object | None, options: BenchmarkOptions, reporter: Reporter
) -> Benchmark:
    """Measure a model; see `octavo.benchmark`."""
    model = open_any(source, trust=options.trust, runtime=options.runtime)
    other = None if baseline is None else _open_baseline(baseline, model, options)
    if other is not None:
        _check_same_inputs(model, other)
        model, other = _told_apart(model, other)
    batch = _batch(model.model.inputs, options)
    target = Target(threads=_threads(options, model, other))
    with (
        tempfile.TemporaryDirectory(prefix="octavo-") as place,
        reporter.track(f"measuring for {options.seconds:g} s", None),
    ):
        reference = model.reference(Path(place) / "model", options.trust)
        if other is None:
            single = measure_single(
                reference, batch, target, seconds=options.seconds, seed=options.seed
            )
            return Benchmark(single)
        against = other.reference(Path(place) / "baseline", options.trust)
        pair = measure_pair(
            against, reference, batch, target, seconds=options.seconds, seed=options.seed
        )
        return Benchmark(pair)


def _open_baseline(baseline: object, model: Opened, options: BenchmarkOptions) -> Opened:
    runtime = options.baseline_runtime
    if runtime is None and not names_artifact(baseline):
        runtime = model.backend.name
    return open_any(baseline, trust=options.trust, runtime=runtime)


def _told_apart(model: Opened, baseline: Opened) -> tuple[Opened, Opened]:
    """Return both, their runtimes in their labels where those differ."""
    names = [one.backend.name for one in (model, baseline)]
    if len(set(names)) < len(names):
        return model, baseline
    return (
        replace(model, label=f"{model.label} ({names[0]})"),
        replace(baseline, label=f"{baseline.label} ({names[1]})"),
    )


def _threads(options: BenchmarkOptions, *models: Opened | None) -> int:
    made_for = [one.artifact.manifest.threads for one in models if one and one.artifact]
    return options.threads or next(iter(made_for), 1)


def _batch(inputs: Sequence[TensorSpec], options: BenchmarkOptions) -> dict[str, Any]:
    if options.shapes and options.data is not None:
        raise UsageError("shapes are for random data, and data were given; leave out --shape")
    size = fixed_batch(inputs) or options.batch_size
    dataset = (
        draw(inputs, size, options.seed, options.shapes)
        if options.data is None
        else open_dataset(options.data, inputs, role="evaluation", limit=size)
    )
    return sized(next(dataset.batches(size)).inputs, size)


def _check_same_inputs(model: Opened, baseline: Opened) -> None:
    ours = {(spec.name, spec.dtype) for spec in model.model.inputs}
    theirs = {(spec.name, spec.dtype) for spec in baseline.model.inputs}
    if ours != theirs:
        raise UsageError(
            f"{model.label!r} and {baseline.label!r} have different inputs "
            f"({_names(model)} and {_names(baseline)}); compare forms of one model"
        )


def _names(opened: Opened) -> str:
    return ", ".join(map(str, opened.model.inputs))
