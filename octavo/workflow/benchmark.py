"""Measuring models that are on disk, alone or against a baseline, in one case or in many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from octavo.arrays import Array, Batch
from octavo.bench import ModelRef, PairResult, measure_pair, measure_single
from octavo.bench.topology import available_topology
from octavo.data import DataSource, open_dataset
from octavo.errors import OctavoError, UsageError
from octavo.model import TensorSpec
from octavo.target import Target
from octavo.workflow.batches import fixed_batch, sized
from octavo.workflow.benchmarked import Benchmark, Failure, Measured
from octavo.workflow.cases import Case, Grid, Shapes, cases
from octavo.workflow.contestants import Contestants, Sources, open_contestants
from octavo.workflow.drawn import draw
from octavo.workflow.machine import describe_machine
from octavo.workflow.reporter import Reporter


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to measure.

    Attributes:
        grid: the layouts, batch sizes and shapes.
        seconds: the time for measuring, in each case and with each form of the baseline.
        data: where the inputs come from; None draws random ones.
        seed: of random inputs and of the bootstrap.
        p99_ms: the latency that 99 % of the calls are to keep, None for no limit.
    """

    grid: Grid = field(default_factory=Grid)
    seconds: float = 10.0
    data: DataSource | None = None
    seed: int = 0
    p99_ms: float | None = None


@dataclass(frozen=True)
class _Saved:
    """The models on disk.

    Attributes:
        model: what is measured.
        baselines: what it is measured against by name, `default` first; none where it is alone.
    """

    model: ModelRef
    baselines: Mapping[str, ModelRef]


def run_benchmark(sources: Sources, options: BenchmarkOptions, reporter: Reporter) -> Benchmark:
    """Measure a model; see `octavo.benchmark`."""
    them = open_contestants(sources)
    topology = available_topology()
    layouts = options.grid.layouts(topology, them.made_for)
    inputs = them.model.model.inputs
    sizes = _sizes(inputs, options.grid, reporter)
    batches = [_batch(inputs, options, shapes, max(sizes)) for shapes in options.grid.shapes]
    planned = [
        (case, batch)
        for shapes, batch in zip(options.grid.shapes, batches, strict=True)
        for case in cases(layouts, sizes, [shapes])
    ]
    with tempfile.TemporaryDirectory(prefix="octavo-") as place:
        saved = _save(them, Target(threads=layouts[0].cores), Path(place), sources.trust)
        done, failures = _measure_all(saved, planned, options, reporter)
    machine = describe_machine(them.backends, topology)
    found = Benchmark(done, machine, options.p99_ms, failures)
    _tell_of_limit(found, reporter)
    return found


def _sizes(inputs: Sequence[TensorSpec], grid: Grid, reporter: Reporter) -> tuple[int, ...]:
    fixed = fixed_batch(inputs)
    if fixed is None:
        return grid.batch_sizes
    if len(grid.batch_sizes) > 1:
        reporter.warn(f"the model takes {fixed} samples a call: other batch sizes are left out")
    return (fixed,)


def _batch(
    inputs: Sequence[TensorSpec], options: BenchmarkOptions, shapes: Shapes, size: int
) -> dict[str, Array]:
    """Return the inputs of the largest call; smaller ones take a part of it."""
    if shapes and options.data is not None:
        raise UsageError("shapes are for random data, and data were given; leave out --shape")
    dataset = (
        draw(inputs, size, options.seed, shapes)
        if options.data is None
        else open_dataset(options.data, inputs, role="evaluation", limit=size)
    )
    return sized(next(dataset.batches(size)).inputs, size)


def _save(them: Contestants, target: Target, place: Path, trust: bool) -> _Saved:
    return _Saved(
        them.labelled(target).reference(place / "model", trust),
        {
            name: form.reference(place / f"baseline-{name}", trust)
            for name, form in them.forms(target).items()
        },
    )


def _measure_all(
    saved: _Saved,
    planned: Sequence[tuple[Case, Batch]],
    options: BenchmarkOptions,
    reporter: Reporter,
) -> tuple[list[Measured], list[Failure]]:
    """Measure every case; one that fails is told, and the others are measured all the same.

    Raises:
        OctavoError: none could be measured.
    """
    done: list[Measured] = []
    failures: list[Failure] = []
    errors: list[OctavoError] = []
    for number, (case, largest) in enumerate(planned, 1):
        title = f"{number} of {len(planned)}, {case}: " if len(planned) > 1 else ""
        batch = sized(largest, case.batch_size)
        try:
            done.append(_measure(saved, case, batch, options, title, reporter))
        except OctavoError as error:
            errors.append(error)
            failures.append(Failure(case, str(error)))
            if len(planned) > 1:
                reporter.warn(f"{case}: {error}")
        else:
            if len(planned) > 1:
                reporter.say(_told(done[-1]))
    if not done:
        raise errors[0]
    return done, failures


def _measure(
    saved: _Saved,
    case: Case,
    batch: Batch,
    options: BenchmarkOptions,
    title: str,
    reporter: Reporter,
) -> Measured:
    shapes = {name: tuple(array.shape) for name, array in batch.items()}
    target, instances = Target(threads=case.layout.cores, shapes=shapes), case.layout.instances
    seconds, seed = options.seconds, options.seed
    if not saved.baselines:
        with reporter.track(f"{title}measuring for {seconds:g} s", None):
            single = measure_single(
                saved.model, batch, target, seconds=seconds, instances=instances, seed=seed
            )
        return Measured(case, shapes, single)
    pairs: dict[str, PairResult] = {}
    for name, baseline in saved.baselines.items():
        over = f"against {baseline.label} " if len(saved.baselines) > 1 else ""
        with reporter.track(f"{title}measuring {over}for up to {seconds:g} s", None):
            pairs[name] = measure_pair(
                baseline, saved.model, batch, target,
                seconds=seconds, instances=instances, seed=seed,
            )  # fmt: skip
    return Measured(case, shapes, pairs.pop("default"), pairs)


def _told(one: Measured) -> str:
    return ", ".join([str(one.case), *_figures(one)])


def _figures(one: Measured) -> Iterator[str]:
    yield f"{one.model.throughput:.1f} samples/s"
    yield f"p99 {one.model.latency.p99:.3f} ms"
    for pair in one.pairs:
        low, high = pair.ratio_ci95
        yield f"{pair.ratio:.2f}x ({low:.2f} to {high:.2f}) over {pair.baseline.label}"


def _tell_of_limit(found: Benchmark, reporter: Reporter) -> None:
    for one in found.best:
        if not found.within(one):
            reporter.warn(
                f"no case keeps 99 % of the calls within {found.p99_ms:g} ms; the shortest p99 is "
                f"{one.model.latency.p99:.3f} ms ({one.case})"
            )
