"""The machine's cores as the operating system shows them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from octavo.bench.cgroup import GROUPS, MEMBERSHIP, cpu_limit, cpuset
from octavo.bench.cores import Core, Topology, parse_cpu_list
from octavo.bench.layout import choose_cores, layout, node_of

__all__ = [
    "Core",
    "Topology",
    "allowed_cpus",
    "available_topology",
    "choose_cores",
    "layout",
    "node_of",
    "offline_cpus",
    "parse_cpu_list",
    "read_topology",
]

_SYSTEM = Path("/sys/devices/system")
_SLOWER = 0.8
"""A core of less than this share of the largest capacity is an efficiency core."""


def read_topology(root: Path = _SYSTEM) -> Topology:
    """Return the online cores of this machine.

    What the kernel does not show (a virtual machine may lack any field) is taken for one socket,
    one memory node, and a core for each hardware thread. Where it shows no CPU, every one that
    this process may use counts as a core.

    Args:
        root: the folder that holds `cpu/cpu0/topology` and `node/node0/cpulist`.
    """
    folder = root / "cpu"
    online = _online(folder) or tuple(sorted(os.sched_getaffinity(0)))
    nodes = _nodes(root / "node")
    slow = _efficiency(root, online)
    cores: list[Core] = []
    left = set(online)
    for cpu in online:
        if cpu in left:
            threads = left & {cpu, *_siblings(folder / f"cpu{cpu}" / "topology")}
            left -= threads
            socket = _number(folder / f"cpu{cpu}" / "topology" / "physical_package_id") or 0
            node = nodes.get(cpu, 0)
            cores.append(Core(max(0, socket), node, tuple(sorted(threads)), cpu in slow))
    return Topology(tuple(cores))


def offline_cpus(root: Path = _SYSTEM) -> tuple[int, ...]:
    """Return the hardware threads that are there and switched off; argument as `read_topology`."""
    folder = root / "cpu"
    return tuple(cpu for cpu in _cpus(folder / "present") if cpu not in _online(folder))


def _nodes(folder: Path) -> dict[int, int]:
    return {
        cpu: int(path.parent.name.removeprefix("node"))
        for path in folder.glob("node[0-9]*/cpulist")
        for cpu in _cpus(path)
    }


def _online(folder: Path) -> tuple[int, ...]:
    """The CPUs that run, else those with a topology, which an offline one has not."""
    shown = (path.parent.name for path in folder.glob("cpu[0-9]*/topology"))
    with_topology = sorted(int(name.removeprefix("cpu")) for name in shown)
    return _cpus(folder / "online") or tuple(with_topology)


def _siblings(folder: Path) -> tuple[int, ...]:
    return _cpus(folder / "core_cpus_list") or _cpus(folder / "thread_siblings_list")


def _efficiency(root: Path, online: Iterable[int]) -> frozenset[int]:
    """The CPUs of the slower kind, by Intel's lists of both kinds or by the capacities of ARM."""
    if (root.parent / "cpu_core").is_dir():
        return frozenset(_cpus(root.parent / "cpu_atom" / "cpus"))
    found = {cpu: _number(root / "cpu" / f"cpu{cpu}" / "cpu_capacity") for cpu in online}
    known = {cpu: capacity for cpu, capacity in found.items() if capacity}
    largest = max(known.values(), default=0)
    return frozenset(cpu for cpu, capacity in known.items() if capacity < _SLOWER * largest)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # absent, or the kernel refuses to tell
        return ""


def _cpus(file: Path) -> tuple[int, ...]:
    return parse_cpu_list(_text(file))


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.lstrip("-").isdigit() else None


def available_topology(
    root: Path = _SYSTEM, groups: Path = GROUPS, membership: Path = MEMBERSHIP
) -> Topology:
    """Return the cores this process may use, and the time of them that its container leaves it.

    Args:
        root: the folder that `read_topology` reads.
        groups: where the control groups are mounted.
        membership: the file that says which groups hold the process.
    """
    ours = read_topology(root).restricted(allowed_cpus(groups, membership))
    return replace(ours, quota=cpu_limit(groups, membership))


def allowed_cpus(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> frozenset[int]:
    """Return the hardware threads that its affinity and its container allow this process.

    Arguments as `available_topology`.
    """
    ours = frozenset(os.sched_getaffinity(0))
    inside = cpuset(groups, membership)
    # The kernel keeps the affinity inside; where it does not, as in some sandboxes, the set rules.
    return ours if inside is None else ours & frozenset(inside) or ours
