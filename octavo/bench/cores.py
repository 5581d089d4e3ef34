"""Physical cores as plain data, and the kernel's lists of processors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Core:
    """A physical core.

    Attributes:
        socket: the number of its processor.
        node: the number of the memory node (NUMA) it is near to.
        cpus: the numbers of its hardware threads, what affinity is set to.
        efficiency: it is one of the slower cores of a machine that has two kinds.
    """

    socket: int
    node: int
    cpus: tuple[int, ...]
    efficiency: bool = False


@dataclass(frozen=True)
class Topology:
    """The physical cores of a machine, in the order of their first hardware threads.

    Attributes:
        cores: the cores.
        quota: CPUs' worth of time that a container leaves this process, None for no limit.
    """

    cores: tuple[Core, ...]
    quota: float | None = None

    @property
    def cpus(self) -> tuple[int, ...]:
        """All hardware threads."""
        return tuple(sorted(cpu for core in self.cores for cpu in core.cpus))

    @property
    def sockets(self) -> int:
        """The number of processors."""
        return len({core.socket for core in self.cores})

    @property
    def nodes(self) -> int:
        """The number of memory nodes."""
        return len({core.node for core in self.cores})

    @property
    def smt(self) -> bool:
        """Whether some hardware threads share a core."""
        return any(len(core.cpus) > 1 for core in self.cores)

    def restricted(self, cpus: Collection[int]) -> Topology:
        """Return what is left of it when only the hardware threads `cpus` may be used."""
        kept = (
            replace(core, cpus=tuple(cpu for cpu in core.cpus if cpu in cpus))
            for core in self.cores
        )
        return replace(self, cores=tuple(core for core in kept if core.cpus))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's form of a list of processors, for example `0-3,8,10-11`."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def write_cpu_list(cpus: Collection[int]) -> str:
    """Write numbers of processors in the kernel's form, for example `0-3,8,10-11`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
