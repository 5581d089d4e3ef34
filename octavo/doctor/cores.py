"""The cores of the machine, and which of them are ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octavo.bench.cores import Topology


@dataclass(frozen=True)
class MemoryNode:
    """A memory node (NUMA) and what is near to it.

    Attributes:
        node: its number.
        sockets: the numbers of the processors whose cores are near to it.
        cores: the number of these cores.
        cpus: the numbers of their hardware threads.
    """

    node: int
    sockets: tuple[int, ...]
    cores: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Cores:
    """How many cores there are, and how many of them are ours.

    Attributes:
        sockets: processors in the machine.
        numa_nodes: memory nodes.
        nodes: each of them.
        physical: cores.
        efficiency: those of the slower kind, where the machine has two.
        logical: hardware threads.
        offline: numbers of the hardware threads that are switched off.
        available: numbers of the hardware threads that this process may use.
        available_cores: the physical cores they are on.
        cpuset: numbers of the hardware threads that the container allows, None where it does not
            tell.
        cpu_limit: CPUs' worth of time that the container leaves us, None for no limit.
        threads: the most threads that run at full speed.
    """

    sockets: int
    numa_nodes: int
    nodes: tuple[MemoryNode, ...]
    physical: int
    efficiency: int
    logical: int
    offline: tuple[int, ...]
    available: tuple[int, ...]
    available_cores: int
    cpuset: tuple[int, ...] | None
    cpu_limit: float | None
    threads: int


def describe_cores(
    topology: Topology,
    ours: Topology,
    *,
    cpuset: Sequence[int] | None = None,
    offline: Sequence[int] = (),
) -> Cores:
    """Tell the machine's cores from those that are ours.

    Args:
        topology: all cores of the machine.
        ours: those this process may use, and the time of them that its container leaves it.
        cpuset: hardware threads that the container allows.
        offline: hardware threads that are switched off.
    """
    there = len(ours.cores)
    threads = there if ours.quota is None else min(there, int(ours.quota))
    return Cores(
        sockets=topology.sockets,
        numa_nodes=topology.nodes,
        nodes=_memory_nodes(topology),
        physical=len(topology.cores),
        efficiency=sum(core.efficiency for core in topology.cores),
        logical=len(topology.cpus),
        offline=tuple(offline),
        available=ours.cpus,
        available_cores=there,
        cpuset=None if cpuset is None else tuple(cpuset),
        cpu_limit=ours.quota,
        threads=max(1, threads),
    )


def _memory_nodes(topology: Topology) -> tuple[MemoryNode, ...]:
    found = []
    for node in sorted({core.node for core in topology.cores}):
        cores = [core for core in topology.cores if core.node == node]
        sockets = tuple(sorted({core.socket for core in cores}))
        cpus = tuple(sorted(cpu for core in cores for cpu in core.cpus))
        found.append(MemoryNode(node, sockets, len(cores), cpus))
    return tuple(found)
