"""Two models measured in turns, so that what disturbs the machine disturbs both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from octavo.arrays import Batch, batch_size
from octavo.bench.noise import Watch
from octavo.bench.places import Layout, complaints, places, used
from octavo.bench.process import DEFAULT_LIMITS, Limits, ModelRef
from octavo.bench.results import PairResult
from octavo.bench.schedule import MIN_BLOCKS, WIDTH, Schedule, check_seconds, plan_schedule
from octavo.bench.side import Side, started
from octavo.bench.stats import Interval, ratio_interval
from octavo.bench.topology import available_topology
from octavo.target import Target


def measure_pair(
    baseline: ModelRef,
    candidate: ModelRef,
    batch: Batch,
    target: Target,
    *,
    seconds: float,
    instances: int = 1,
    seed: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[float], None] | None = None,
) -> PairResult:
    """Measure two models against each other on this machine.

    Each model has processes of its own, pinned to the same cores; blocks of calls alternate
    (A B B A ...), so that all instances of one run while those of the other stand still, and slow
    changes of the machine cancel. The blocks are paired in their order. It ends when the ratio's
    95 % interval is narrower than 5 % of the ratio, or when the time is up, but not before each
    model has had `MIN_BLOCKS` blocks.

    Args:
        baseline: the model compared with, as a rule FP32.
        candidate: the other one, as a rule INT8.
        batch: the inputs of every call.
        target: its `threads` is the number of cores of an instance.
        seconds: the time for the blocks; loading and warming up come before it.
        instances: processes of each model, on cores of their own.
        seed: of the bootstrap.
        limits: how long a worker may take before it counts as hung.
        progress: is told the share of the time that has passed, 0 to 1.

    Raises:
        UsageError: there are fewer cores than that, or no time.
        OctavoError: a model cannot be loaded or run, or a process of it died or hung.
    """
    check_seconds(seconds)
    topology = available_topology()
    chosen = places(topology, Layout(instances, target.threads))
    with started((baseline, candidate), batch, chosen, limits) as sides:
        schedule = plan_schedule(max(side.warm_up(seconds) for side in sides), seconds, len(sides))
        watch = Watch(used(chosen), _cpu_seconds(sides))
        begun = time.monotonic()
        interval = _alternate(sides, schedule, seed, watch, progress or (lambda share: None))
        spent = time.monotonic() - begun
        reasons = complaints(topology, chosen)
        reasons += [complaint for side in sides for complaint in side.escaped()]
        noise = watch.finish(_cpu_seconds(sides), [*reasons, *_too_wide(interval, spent)])
        measured = [side.measurement(seed) for side in sides]
        return PairResult(
            baseline=measured[0],
            candidate=measured[1],
            ratio=interval.value,
            ratio_ci95=(interval.low, interval.high),
            blocks=len(sides[0].blocks),
            seconds=spent,
            batch_size=batch_size(batch),
            cores_per_instance=target.threads,
            noise=noise,
            instances=instances,
        )


def _alternate(
    sides: Sequence[Side],
    schedule: Schedule,
    seed: int,
    watch: Watch,
    progress: Callable[[float], None],
) -> Interval:
    baseline, candidate = sides
    begun = time.monotonic()
    while True:
        for side in sides if len(baseline.blocks) % 2 == 0 else sides[::-1]:
            side.run(schedule)
        watch.look()
        passed = (time.monotonic() - begun) / schedule.budget
        progress(min(passed, 1.0))
        if len(baseline.blocks) >= MIN_BLOCKS:
            interval = ratio_interval(baseline.blocks, candidate.blocks, seed=seed)
            if passed >= 1 or interval.width < WIDTH:
                return interval


def _too_wide(interval: Interval, seconds: float) -> list[str]:
    if interval.width < WIDTH:
        return []
    return [
        f"after {seconds:.1f} s the 95 % interval of the ratio is still "
        f"{interval.width:.0%} of it wide"
    ]


def _cpu_seconds(sides: Sequence[Side]) -> float:
    return sum(side.cpu_seconds() for side in sides)
