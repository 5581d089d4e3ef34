"""One model measured by itself, on any number of instances."""

from __future__ import annotations

import time
from collections.abc import Callable

from octavo.arrays import Batch, batch_size
from octavo.bench.noise import Watch
from octavo.bench.places import Layout, complaints, places, used
from octavo.bench.process import DEFAULT_LIMITS, Limits, ModelRef
from octavo.bench.results import SingleResult
from octavo.bench.schedule import MIN_BLOCKS, WIDTH, Schedule, check_seconds, plan_schedule
from octavo.bench.side import Side, started
from octavo.bench.stats import throughput_interval
from octavo.bench.topology import available_topology
from octavo.target import Target


def measure_single(
    model: ModelRef,
    batch: Batch,
    target: Target,
    *,
    seconds: float,
    instances: int = 1,
    seed: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[float], None] | None = None,
) -> SingleResult:
    """Measure one model in pinned processes, for all of the time.

    Args:
        model: the model.
        batch: the inputs of every call.
        target: its `threads` is the number of cores of an instance.
        seconds: the time for measuring; loading and warming up come before it.
        instances: processes that run it at the same time, on cores of their own.
        seed: of the bootstrap.
        limits: how long a worker may take before it counts as hung.
        progress: is told the share of the time that has passed, 0 to 1.

    Raises:
        UsageError: there are fewer cores than that, or no time.
        OctavoError: the model cannot be loaded or run, or a process of it died or hung.
    """
    check_seconds(seconds)
    topology = available_topology()
    chosen = places(topology, Layout(instances, target.threads))
    with started((model,), batch, chosen, limits) as (side,):
        schedule = plan_schedule(side.warm_up(seconds), seconds, sides=1)
        watch = Watch(used(chosen), side.cpu_seconds())
        spent = _repeat(side, schedule, watch, progress or (lambda share: None))
        interval = throughput_interval(side.blocks, seed=seed)
        reasons = [*complaints(topology, chosen), *side.escaped()]
        if interval.width >= WIDTH:
            reasons.append(
                f"the 95 % interval of the throughput is {interval.width:.0%} of it wide"
            )
        return SingleResult(
            model=side.measurement(seed),
            throughput_ci95=(interval.low, interval.high),
            blocks=len(side.blocks),
            seconds=spent,
            batch_size=batch_size(batch),
            cores_per_instance=target.threads,
            noise=watch.finish(side.cpu_seconds(), reasons),
            instances=instances,
        )


def _repeat(
    side: Side, schedule: Schedule, watch: Watch, progress: Callable[[float], None]
) -> float:
    begun = time.monotonic()
    while True:
        side.run(schedule)
        watch.look()
        spent = time.monotonic() - begun
        progress(min(spent / schedule.budget, 1.0))
        if spent >= schedule.budget and len(side.blocks) >= MIN_BLOCKS:
            return spent
