"""How many instances there are, and the cores and the memory node of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from octavo.bench.cores import Topology
from octavo.bench.layout import choose_cores, layout, node_of


@dataclass(frozen=True)
class Layout:
    """Instances of equal size.

    Attributes:
        instances: processes that run at the same time.
        cores: physical cores of each, and its threads.
    """

    instances: int
    cores: int

    def __str__(self) -> str:
        return f"{self.instances} x {self.cores}"


@dataclass(frozen=True)
class Place:
    """Where one instance runs.

    Attributes:
        cores: hardware threads, one for each of its threads.
        node: the memory node that all of them are near to, None for several.
    """

    cores: tuple[int, ...]
    node: int | None = None


def places(topology: Topology, wanted: Layout) -> tuple[Place, ...]:
    """Choose a place for every instance; no two share a physical core.

    One instance alone may have more threads than there are cores: then some share one.

    Raises:
        UsageError: there are not enough cores, or a number is not positive.
    """
    alone = wanted.instances == 1
    chosen = (
        (choose_cores(topology, wanted.cores),)
        if alone
        else layout(topology, wanted.instances, wanted.cores)
    )
    return tuple(Place(cores, node_of(topology, cores)) for cores in chosen)


def most_instances(topology: Topology, cores: int) -> Layout:
    """Return as many instances of `cores` cores as run at full speed.

    Raises:
        UsageError: there is no room for one.
    """
    return Layout(len(layout(topology, None, cores)), cores)


def layouts(topology: Topology) -> tuple[Layout, ...]:
    """Return every way to share all cores among equal instances, the most instances first.

    Left out are those in which an instance would straddle memory nodes while others do not.
    """
    there = len(topology.cores)
    usable = there if topology.quota is None else max(1, min(there, int(topology.quota)))
    sizes = (size for size in range(1, usable + 1) if usable % size == 0)
    fitting = (most_instances(topology, size) for size in sizes)
    return tuple(one for one in fitting if one.instances * one.cores == usable)


def used(chosen: Iterable[Place]) -> tuple[int, ...]:
    """Return the hardware threads of all instances."""
    return tuple(sorted(core for place in chosen for core in place.cores))


def complaints(topology: Topology, chosen: Sequence[Place]) -> list[str]:
    """Say what is wrong with a choice that is possible all the same."""
    cores = used(chosen)
    if topology.quota is None or len(cores) <= topology.quota:
        return []
    return [f"the container has the time of {topology.quota:g} CPUs for threads on {len(cores)}"]
