"""The machine's cores as the operating system shows them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from octavo.bench.cgroup import cpu_limit
from octavo.bench.cores import Core, Topology
from octavo.bench.layout import choose_cores, layout, node_of

__all__ = [
    "Core",
    "Topology",
    "available_topology",
    "choose_cores",
    "layout",
    "node_of",
    "parse_cpu_list",
    "read_topology",
]

_SYSTEM = Path("/sys/devices/system")
_SLOWER = 0.8
"""A core of less than this share of the largest capacity is an efficiency core."""


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's form of a list of processors, for example `0-3,8,10-11`."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def read_topology(root: Path = _SYSTEM) -> Topology:
    """Return the online cores of this machine.

    What the kernel does not show (a virtual machine may lack any field) is taken for one socket,
    one memory node, and a core for each hardware thread. Where it shows no CPU, every one that
    this process may use counts as a core.

    Args:
        root: the folder that holds `cpu/cpu0/topology` and `node/node0/cpulist`.
    """
    online = _online(root / "cpu") or tuple(sorted(os.sched_getaffinity(0)))
    nodes = {
        cpu: int(path.parent.name.removeprefix("node"))
        for path in root.glob("node/node[0-9]*/cpulist")
        for cpu in _cpus(path)
    }
    efficiency = _efficiency(root, online)
    cores: list[Core] = []
    left = set(online)
    for cpu in online:
        if cpu in left:
            siblings = left & {cpu, *_siblings(root / "cpu" / f"cpu{cpu}" / "topology")}
            left -= siblings
            socket = _number(root / "cpu" / f"cpu{cpu}" / "topology" / "physical_package_id")
            node = nodes.get(cpu, 0)
            threads = tuple(sorted(siblings))
            cores.append(Core(max(0, socket or 0), node, threads, cpu in efficiency))
    return Topology(tuple(cores))


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


def available_topology() -> Topology:
    """Return the cores this process may use, and the time of them that its container leaves it."""
    ours = read_topology().restricted(os.sched_getaffinity(0))
    return replace(ours, quota=cpu_limit())
