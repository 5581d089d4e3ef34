"""Folders like /sys/devices/system of machines that differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def put(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n")


def write_machine(
    root: Path,
    cores: Mapping[int, Iterable[Sequence[int]]],
    nodes: Mapping[int, str],
    online: str | None = None,
) -> Path:
    """Write the tree; `cores` maps a socket to the threads of its cores, `nodes` a node to CPUs."""
    for socket, members in cores.items():
        for threads in members:
            for cpu in threads:
                folder = root / "cpu" / f"cpu{cpu}" / "topology"
                put(folder / "physical_package_id", socket)
                put(folder / "thread_siblings_list", ",".join(map(str, threads)))
    for node, cpus in nodes.items():
        put(root / "node" / f"node{node}" / "cpulist", cpus)
    if online is not None:
        put(root / "cpu" / "online", online)
    return root


def two_sockets(root: Path) -> Path:
    """Two sockets of four cores with two threads each, numbered as Linux does on Intel servers."""
    cores = {
        socket: [(first, first + 8) for first in range(socket * 4, socket * 4 + 4)]
        for socket in (0, 1)
    }
    return write_machine(root, cores, {0: "0-3,8-11", 1: "4-7,12-15"}, online="0-15")


def sub_numa(root: Path) -> Path:
    """Two sockets of six cores, three memory nodes each: sub-NUMA clustering."""
    cores = {socket: [(socket * 6 + core,) for core in range(6)] for socket in (0, 1)}
    nodes = {node: f"{2 * node}-{2 * node + 1}" for node in range(6)}
    return write_machine(root, cores, nodes, online="0-11")


def hybrid(root: Path) -> Path:
    """A desktop of Intel: two fast cores of two threads each and four slow ones of one."""
    write_machine(
        root / "system",
        {0: [(0, 1), (2, 3), (4,), (5,), (6,), (7,)]},
        {0: "0-7"},
        online="0-7",
    )
    put(root / "cpu_core" / "cpus", "0-3")
    put(root / "cpu_atom" / "cpus", "4-7")
    return root / "system"
