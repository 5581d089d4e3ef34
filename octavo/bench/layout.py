"""Which cores instances run on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from octavo.bench.cores import Core, Topology
from octavo.errors import UsageError

_Level: TypeAlias = Callable[[Core], tuple[int, ...]]
"""Tells by a key which cores lie together."""


def choose_cores(topology: Topology, count: int) -> tuple[int, ...]:
    """Choose a hardware thread for each of `count` threads of one instance.

    They lie on physical cores as in a `layout` of one instance; only where there are fewer cores
    than threads do two share a core.

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
    if count <= len(topology.cores):
        return layout(topology, 1, count)[0]
    cores = sorted(topology.cores, key=_order)
    firsts = [core.cpus[0] for core in cores]
    return (*firsts, *(cpu for core in cores for cpu in core.cpus[1:]))[:count]


def layout(topology: Topology, instances: int | None, cores: int) -> tuple[tuple[int, ...], ...]:
    """Choose physical cores for instances that run at the same time; no two share one.

    One hardware thread of each core is used. An instance lies on cores of one kind near one memory
    node if that can be, else on one socket. All lie on one memory node or one socket if it has the
    cores, else on as many as it takes. The first core of the machine is used last of its memory
    node: it serves most interrupts.

    Args:
        topology: the cores that may be used.
        instances: how many; None for as many as fit without one that straddles memory nodes
            (sockets, where no node has the cores for one), and as can run all the time where a
            container limits it.
        cores: physical cores of each instance.

    Returns:
        For each instance the numbers of its hardware threads, `cores` of them.

    Raises:
        UsageError: there are not enough cores, or a number is not positive.
    """
    _check_fit(topology, 1 if instances is None else instances, cores)
    levels = _levels(topology)
    wanted = _most(topology, levels, cores) if instances is None else instances
    for level in levels:
        for place in _places(topology.cores, level):
            if _fitting(place, levels[0], cores) >= wanted:
                return _fill(place, levels, cores)[:wanted]
    return _fill(topology.cores, levels, cores)[:wanted]


def node_of(topology: Topology, cpus: Collection[int]) -> int | None:
    """Return the memory node that all of some hardware threads are near to, None for several."""
    nodes = {core.node for core in topology.cores if not set(core.cpus).isdisjoint(cpus)}
    return nodes.pop() if len(nodes) == 1 else None


def _check_fit(topology: Topology, instances: int, cores: int) -> None:
    there = len(topology.cores)
    if instances > 0 and cores > 0 and instances * cores <= there:
        return
    if instances <= 0 or cores <= 0:
        hint = "ask for 1 or more of both"
    elif cores > there:
        hint = f"ask for 1 to {there} cores per instance"
    else:
        most = there // cores
        hint = f"ask for at most {most} instance{'s' * (most > 1)} of {cores} cores"
    threads = f" ({len(topology.cpus)} hardware threads)" if topology.smt else ""
    raise UsageError(
        f"{instances} instances of {cores} cores asked for, but this process may use {there} "
        f"physical cores{threads}; {hint}, or give it more (taskset, cpuset of the container)"
    )


def _most(topology: Topology, levels: Sequence[_Level], cores: int) -> int:
    counts = (_fitting(topology.cores, level, cores) for level in levels)
    most = next(count for count in counts if count)
    return most if topology.quota is None else max(1, min(most, int(topology.quota) // cores))


def _levels(topology: Topology) -> tuple[_Level, ...]:
    """What an instance should lie within, the narrowest first.

    As a rule a socket has one memory node or several; a node may also span sockets.
    """

    def near(core: Core) -> tuple[int, ...]:
        return (core.socket, core.node)

    def alike(core: Core) -> tuple[int, ...]:
        return (core.efficiency, *near(core))

    def node(core: Core) -> tuple[int, ...]:
        return (core.node,)

    def socket(core: Core) -> tuple[int, ...]:
        return (core.socket,)

    def machine(core: Core) -> tuple[int, ...]:
        return ()

    wider = (node, socket) if topology.nodes >= topology.sockets else (socket, node)
    return (alike, near, *wider, machine)


def _order(core: Core) -> tuple[int, ...]:
    return (core.efficiency, core.node, core.cpus[0] == 0, core.cpus[0])


def _places(cores: Iterable[Core], level: _Level) -> list[list[Core]]:
    """Return the cores that lie together by `level`."""
    found: dict[tuple[int, ...], list[Core]] = {}
    for core in sorted(cores, key=_order):
        found.setdefault(level(core), []).append(core)
    return [found[key] for key in sorted(found)]


def _fitting(cores: Iterable[Core], level: _Level, size: int) -> int:
    """Return how many instances of `size` cores fit that lie within one place of `level` each."""
    return sum(len(place) // size for place in _places(cores, level))


def _fill(
    cores: Iterable[Core], levels: Iterable[_Level], size: int
) -> tuple[tuple[int, ...], ...]:
    """Return as many instances as fit; those that lie within the narrowest place come first."""
    chosen: list[tuple[int, ...]] = []
    left = list(cores)
    for level in levels:
        places, left = _places(left, level), []
        for place in places:
            end = len(place) // size * size
            firsts = [core.cpus[0] for core in place]
            chosen += [tuple(firsts[at : at + size]) for at in range(0, end, size)]
            left += place[end:]
    return tuple(chosen)
