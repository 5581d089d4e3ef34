"""The machine's cores as the operating system shows them, and which of them to use."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from octavo.errors import UsageError


@dataclass(frozen=True)
class Core:
    """A physical core.

    Attributes:
        socket: the number of its processor.
        node: the number of the memory node (NUMA) it is near to.
        cpus: the numbers of its hardware threads, what affinity is set to.
    """

    socket: int
    node: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Topology:
    """The physical cores of a machine, in the order of their first hardware threads."""

    cores: tuple[Core, ...]

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
            Core(core.socket, core.node, tuple(cpu for cpu in core.cpus if cpu in cpus))
            for core in self.cores
        )
        return Topology(tuple(core for core in kept if core.cpus))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's form of a list of processors, for example `0-3,8,10-11`."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def read_topology(root: Path = Path("/sys/devices/system")) -> Topology:
    """Return the online cores of this machine.

    Where the kernel does not show them, every hardware thread this process may use counts as a
    core.

    Args:
        root: the folder that holds `cpu/cpu0/topology` and `node/node0/cpulist`.
    """
    nodes = {
        cpu: int(path.parent.name.removeprefix("node"))
        for path in root.glob("node/node[0-9]*/cpulist")
        for cpu in parse_cpu_list(path.read_text())
    }
    # An offline core has no topology folder.
    folders = root.glob("cpu/cpu[0-9]*/topology")
    cores = {core.cpus[0]: core for core in (_read_core(folder, nodes) for folder in folders)}
    if not cores:
        return Topology(tuple(Core(0, 0, (cpu,)) for cpu in sorted(os.sched_getaffinity(0))))
    return Topology(tuple(cores[first] for first in sorted(cores)))


def _read_core(folder: Path, nodes: dict[int, int]) -> Core:
    cpu = int(folder.parent.name.removeprefix("cpu"))
    siblings = parse_cpu_list((folder / "thread_siblings_list").read_text()) or (cpu,)
    socket = int((folder / "physical_package_id").read_text())
    return Core(socket, nodes.get(cpu, 0), siblings)


def available_topology() -> Topology:
    """Return the cores this process may use."""
    return read_topology().restricted(os.sched_getaffinity(0))


def choose_cores(topology: Topology, count: int) -> tuple[int, ...]:
    """Choose a hardware thread for each of `count` threads of one instance.

    They lie on physical cores of their own, near to one memory node if it has enough, else on one
    socket; only where there are fewer cores than threads do two share a core. The first core comes
    last: it serves most interrupts.

    Args:
        topology: the cores that may be used.
        count: the number of threads.

    Raises:
        UsageError: there are fewer hardware threads than that, or `count` is not positive.
    """
    if not 0 < count <= len(topology.cpus):
        raise UsageError(
            f"{count} threads asked for, but this process may use {len(topology.cpus)} CPUs; "
            f"ask for 1 to {len(topology.cpus)}"
        )
    by_node = _places((core.node, core) for core in topology.cores)
    by_socket = _places((core.socket, core) for core in topology.cores)
    for place in (*by_node, *by_socket, topology.cores):
        if len(place) >= count:
            return _first_threads(place)[:count]
    rest = [cpu for core in topology.cores for cpu in core.cpus[1:]]
    return (*_first_threads(topology.cores), *rest)[:count]


def _places(keyed: Iterable[tuple[int, Core]]) -> list[tuple[Core, ...]]:
    found: dict[int, list[Core]] = {}
    for key, core in keyed:
        found.setdefault(key, []).append(core)
    return [tuple(found[key]) for key in sorted(found)]


def _first_threads(cores: Collection[Core]) -> tuple[int, ...]:
    return tuple(sorted((core.cpus[0] for core in cores), key=lambda cpu: (cpu == 0, cpu)))
