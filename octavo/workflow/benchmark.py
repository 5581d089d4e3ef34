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
from octavo.workflow.measure import float_forms
from octavo.workflow.opened import Opened, names_artifact, open_any
from octavo.workflow.reporter import Reporter

PLAIN = "FP32"
"""What a float form without a label of its own runs in."""


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Attributes:
        measured: one model, or two in turns.
        others: the same in turns with the further float forms of the baseline, by name.
    """

    measured: SingleResult | PairResult
    others: Mapping[str, PairResult] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what `octavo benchmark --json` prints."""
        others = {name: pair.to_json() for name, pair in self.others.items()}
        return {**self.measured.to_json(), **({"baselines": others} if others else {})}


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to measure.

    Attributes:
        threads: threads of the one instance; None uses what the artifact was made for, else 1.
        batch_size: samples of one call, unless the model's is fixed.
        seconds: the time for measuring, that for each form of the baseline.
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
    batch = _batch(model.model.inputs, options)
    target = Target(threads=_threads(options, model, other))
    notes = _runtimes(model, other)
    model = _labelled(model, notes[0], _precision(model, target))
    with tempfile.TemporaryDirectory(prefix="octavo-") as place:
        candidate = model.reference(Path(place) / "model", options.trust)
        if other is None:
            with reporter.track(f"measuring for {options.seconds:g} s", None):
                single = measure_single(
                    candidate, batch, target, seconds=options.seconds, seed=options.seed
                )
            return Benchmark(single)
        pairs = {}
        forms = _forms(other, notes[1], target)
        for name, form in forms.items():
            against = form.reference(Path(place) / f"baseline-{name}", options.trust)
            over = f"against {form.label} " if len(forms) > 1 else ""
            with reporter.track(f"measuring {over}for {options.seconds:g} s", None):
                pairs[name] = measure_pair(
                    against, candidate, batch, target, seconds=options.seconds, seed=options.seed
                )
        return Benchmark(pairs.pop("default"), pairs)


def _forms(baseline: Opened, note: str, target: Target) -> dict[str, Opened]:
    """Return what a model is measured against, `default` first: an artifact is there as it is.

    Of a source these are the forms that `octavo quantize` measures against.
    """
    if baseline.artifact is not None:
        return {"default": _labelled(baseline, note)}
    forms = float_forms(baseline.backend, baseline.model, target)
    return {
        name: _labelled(
            replace(baseline, model=form), note, (form.label or PLAIN) if len(forms) > 1 else ""
        )
        for name, form in forms.items()
    }


def _precision(model: Opened, target: Target) -> str:
    """Return what a source runs in, where its runtime could run it in another precision too."""
    several = len(float_forms(model.backend, model.model, target)) > 1
    return PLAIN if model.artifact is None and several else ""


def _labelled(opened: Opened, *notes: str) -> Opened:
    known = ", ".join(note for note in notes if note)
    return replace(opened, label=f"{opened.label} ({known})") if known else opened


def _open_baseline(baseline: object, model: Opened, options: BenchmarkOptions) -> Opened:
    runtime = options.baseline_runtime
    if runtime is None and not names_artifact(baseline):
        runtime = model.backend.name
    return open_any(baseline, trust=options.trust, runtime=runtime)


def _runtimes(model: Opened, baseline: Opened | None) -> tuple[str, str]:
    """Return the runtimes of both, where those differ."""
    ours, theirs = model.backend.name, baseline.backend.name if baseline else ""
    return (ours, theirs) if theirs not in ("", ours) else ("", "")


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
