"""What else went on while we measured: stolen time, other processes, load, frequency, heat."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from octavo.bench.cgroup import halted_seconds

STEAL_LIMIT = 0.02
"""The share of the time of our cores that the hypervisor may take before it is called noise."""

_FOREIGN_LIMIT = 0.05
_HALTED_LIMIT = 0.01
_LOAD_LIMIT = 1.5
_SLOWED = 0.75
"""The lowest frequency may be this share of the highest before the difference is called noise."""

_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class CpuTimes:
    """Seconds that some CPUs have spent since the machine started, added up.

    Attributes:
        busy: running something, interrupts included.
        stolen: wanted to run while the hypervisor ran another machine.
        total: all time, idle time included.
    """

    busy: float
    stolen: float
    total: float


@dataclass(frozen=True)
class Snapshot:
    """The counters of the operating system at one moment.

    Attributes:
        times: of the CPUs that are measured on.
        load: processes that wanted to run, mean of the last minute.
        halted: seconds for which our container kept CPUs from running us, added up.
        throttled: how often our CPUs were slowed down for heat or power, added up.
    """

    times: CpuTimes
    load: float
    halted: float = 0.0
    throttled: int = 0


@dataclass(frozen=True)
class Noise:
    """What may have disturbed a measurement.

    Attributes:
        steal: the share of time that the hypervisor took from our cores.
        foreign: the share of our cores' time that other processes used.
        load: the load average of the last minute when measuring began.
        megahertz: the lowest and highest frequency of our cores seen, None where unreadable.
        reasons: why the measurement is called noisy; empty where it is not.
        halted: the share of our cores' time for which our container kept them from running us.
        throttled: how often our cores were slowed down for heat or power.
    """

    steal: float
    foreign: float
    load: float
    megahertz: tuple[float, float] | None
    reasons: tuple[str, ...] = ()
    halted: float = 0.0
    throttled: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Noise:
        """Read what `to_json` wrote."""
        lists: dict[str, Any] = {
            name: tuple(value) for name, value in data.items() if isinstance(value, list)
        }
        return cls(**{**data, **lists})


def parse_stat(text: str, cpus: Collection[int], ticks: int) -> CpuTimes:
    """Read `/proc/stat`.

    Args:
        text: the file's content.
        cpus: the CPUs to add up.
        ticks: clock ticks per second, in which the file counts.
    """
    busy = stolen = total = 0
    wanted = {f"cpu{cpu}" for cpu in cpus}
    for line in text.splitlines():
        name, *fields = line.split()
        if name in wanted:
            # Guest time (the fields from 8 on) is part of user time.
            user, nice, system, idle, wait, irq, soft, steal = map(int, fields[:8])
            busy += user + nice + system + irq + soft
            stolen += steal
            total += user + nice + system + idle + wait + irq + soft + steal
    return CpuTimes(busy / ticks, stolen / ticks, total / ticks)


def snapshot(cpus: Collection[int]) -> Snapshot:
    """Read the counters now."""
    text = Path("/proc/stat").read_text()
    ticks = os.sysconf("SC_CLK_TCK")
    times = parse_stat(text, cpus, ticks)
    return Snapshot(times, os.getloadavg()[0], halted_seconds(), read_throttled(cpus))


def read_megahertz(cpus: Iterable[int], root: Path = _CPU) -> tuple[float, ...]:
    """Return the present frequency of each CPU, nothing for those the kernel does not tell."""
    found = []
    for cpu in cpus:
        with contextlib.suppress(OSError):
            text = (root / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq").read_text()
            found.append(int(text) / 1000)
    return tuple(found)


def read_throttled(cpus: Iterable[int], root: Path = _CPU) -> int:
    """Return how often CPUs were slowed down for heat or power since the machine started.

    Intel's counters of the cores and of their packages, added up; 0 where the kernel has none.
    """
    cores = 0
    packages: dict[int, int] = {}
    for folder in (root / f"cpu{cpu}" for cpu in cpus):
        cores += _count(folder / "thermal_throttle" / "core_throttle_count")
        package = _count(folder / "topology" / "physical_package_id")
        packages[package] = _count(folder / "thermal_throttle" / "package_throttle_count")
    return cores + sum(packages.values())


def _count(file: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return 0


def overloaded(load: float, cpus: int) -> bool:
    """Whether a load average is more than `cpus` CPUs serve without waiting."""
    return load > _LOAD_LIMIT * cpus


def noise_between(
    before: Snapshot,
    after: Snapshot,
    *,
    own_seconds: float,
    cpus: int,
    megahertz: Collection[float] = (),
    reasons: Iterable[str] = (),
) -> Noise:
    """Judge what happened between two snapshots.

    Args:
        before: taken when measuring began.
        after: taken when it ended.
        own_seconds: processor time that we used ourselves meanwhile.
        cpus: CPUs this process may use.
        megahertz: frequencies seen.
        reasons: why the measurement is noisy for other reasons.
    """
    total = max(after.times.total - before.times.total, 1e-9)
    noise = Noise(
        steal=max(0.0, (after.times.stolen - before.times.stolen) / total),
        foreign=max(0.0, (after.times.busy - before.times.busy - own_seconds) / total),
        load=before.load,
        megahertz=(min(megahertz), max(megahertz)) if megahertz else None,
        halted=max(0.0, (after.halted - before.halted) / total),
        throttled=max(0, after.throttled - before.throttled),
    )
    return replace(noise, reasons=(*reasons, *_reasons(noise, cpus)))


def _reasons(noise: Noise, cpus: int) -> Iterator[str]:
    if noise.steal > STEAL_LIMIT:
        yield f"the hypervisor took {noise.steal:.0%} of the time of our cores"
    if noise.foreign > _FOREIGN_LIMIT:
        yield f"other processes used {noise.foreign:.0%} of the time of our cores"
    if noise.halted > _HALTED_LIMIT:
        yield (
            f"the container's CPU limit halted our cores for {noise.halted:.0%} of the time; "
            "use fewer threads in all"
        )
    if noise.throttled:
        yield f"our cores were slowed down for heat or power ({noise.throttled} events)"
    if noise.megahertz and noise.megahertz[0] < _SLOWED * noise.megahertz[1]:
        low, high = noise.megahertz
        yield f"the frequency of our cores lay between {low:.0f} and {high:.0f} MHz"
    if overloaded(noise.load, cpus):
        yield f"the load average was {noise.load:.1f} on {cpus} CPUs"


class Watch:
    """Watches the machine from its creation to `finish`."""

    def __init__(self, cores: Collection[int], own_seconds: float) -> None:
        """Begin.

        Args:
            cores: the cores that are measured on.
            own_seconds: processor time our workers have used so far.
        """
        self._cores = tuple(cores)
        self._workers = own_seconds
        self._parent = time.process_time()
        self._before = snapshot(cores)
        self._megahertz: set[float] = set()

    def look(self) -> None:
        """Note the frequency; to be called right after work was done, not on idle cores."""
        self._megahertz.update(read_megahertz(self._cores))

    def finish(self, own_seconds: float, reasons: Iterable[str] = ()) -> Noise:
        """Return what was seen.

        Args:
            own_seconds: processor time our workers have used by now.
            reasons: why the measurement is noisy for other reasons.
        """
        own = own_seconds - self._workers + time.process_time() - self._parent
        return noise_between(
            self._before,
            snapshot(self._cores),
            own_seconds=own,
            cpus=len(os.sched_getaffinity(0)),
            megahertz=self._megahertz,
            reasons=reasons,
        )
