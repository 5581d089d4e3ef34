"""What this machine can do, what is missing, and what would ruin a benchmark here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from octavo.backends.registry import ENTRIES, Entry
from octavo.bench.cgroup import cpu_limit, memory_limit
from octavo.bench.noise import overloaded
from octavo.bench.topology import Topology, read_topology
from octavo.target import Cpu, detect_cpu

_X86_SETS: Mapping[str, frozenset[str]] = {
    "AVX2": frozenset({"avx2"}),
    "AVX512": frozenset({"avx512f"}),
    "VNNI": frozenset({"avx512_vnni", "avx_vnni"}),
    "AMX": frozenset({"amx_int8"}),
    "BF16": frozenset({"avx512_bf16", "amx_bf16"}),
}
_ARM_SETS: Mapping[str, frozenset[str]] = {
    "DOTPROD": frozenset({"asimddp"}),
    "I8MM": frozenset({"i8mm"}),
    "SVE": frozenset({"sve"}),
    "BF16": frozenset({"bf16"}),
}


@dataclass(frozen=True)
class Processor:
    """The processor and what it computes INT8 with.

    Attributes:
        model: its name.
        architecture: `x86_64`, `aarch64`, ...
        instructions: the instruction sets that matter here, and whether it has them.
        int8: in plain words, how INT8 models are built and run on it.
    """

    model: str
    architecture: str
    instructions: Mapping[str, bool]
    int8: str


@dataclass(frozen=True)
class Cores:
    """How many processors there are, and how many of them are ours.

    Attributes:
        sockets: processors in the machine.
        numa_nodes: memory nodes.
        physical: cores.
        logical: hardware threads.
        available: numbers of the hardware threads that this process may use.
        available_cores: the physical cores they are on.
        cpu_limit: CPUs' worth of time that the container leaves us, None for no limit.
        threads: the most threads that run at full speed.
        governor: the frequency governor of our CPUs, None where it is not told.
        load: processes that wanted to run, mean of the last minute.
    """

    sockets: int
    numa_nodes: int
    physical: int
    logical: int
    available: tuple[int, ...]
    available_cores: int
    cpu_limit: float | None
    threads: int
    governor: str | None
    load: float


@dataclass(frozen=True)
class Memory:
    """Memory in bytes.

    Attributes:
        total: in the machine.
        available: free or easily freed.
        limit: what the container leaves us, None for no limit.
    """

    total: int
    available: int
    limit: int | None

    def to_json(self) -> dict[str, float | None]:
        """Return a JSON-ready form in megabytes (10^6 bytes)."""
        return {name: value and round(value / 1e6, 1) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class BackendStatus:
    """One backend and its framework.

    Attributes:
        name: the backend's name.
        installed: whether all packages it needs are there.
        versions: versions of those that are, by the name pip gives them.
        missing: import names of those that are not.
        install: the exact lines that install them, empty when nothing is missing.
        int8: what it will run in INT8 here, in plain words.
    """

    name: str
    installed: bool
    versions: Mapping[str, str]
    missing: tuple[str, ...]
    install: tuple[str, ...]
    int8: str


@dataclass(frozen=True)
class Diagnosis:
    """All that `octavo doctor` shows.

    Attributes:
        processor: the processor.
        cores: its cores and our share of them.
        memory: the memory.
        python: Python's version.
        system: operating system and kernel.
        backends: every backend there is, installed or not.
        warnings: what would ruin a benchmark, each with what to do.
    """

    processor: Processor
    cores: Cores
    memory: Memory
    python: str
    system: str
    backends: tuple[BackendStatus, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        found = asdict(self)
        del found["memory"]
        return found | {"memory_mb": self.memory.to_json()}


def diagnose() -> Diagnosis:
    """Look at this machine; no framework is imported."""
    cpu = detect_cpu()
    topology = read_topology()
    allowed = os.sched_getaffinity(0)
    cores = describe_cores(
        topology, allowed, cpu_limit(), read_governor(allowed), os.getloadavg()[0]
    )
    memory = psutil.virtual_memory()
    return Diagnosis(
        processor=describe_processor(cpu),
        cores=cores,
        memory=Memory(memory.total, memory.available, memory_limit()),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        backends=describe_backends(ENTRIES.values(), cpu),
        warnings=benchmark_warnings(cores, topology.restricted(allowed)),
    )


def describe_processor(cpu: Cpu) -> Processor:
    """Name the instruction sets that matter and what INT8 means with them."""
    known = _X86_SETS if cpu.architecture == "x86_64" else _ARM_SETS
    sets = {name: bool(flags & cpu.instructions) for name, flags in known.items()}
    return Processor(cpu.model, cpu.architecture, sets, int8_in_words(cpu))


def int8_in_words(cpu: Cpu) -> str:
    """Say how INT8 models are built for a processor and what runs them."""
    if cpu.architecture != "x86_64":
        kind = "full-range weights (dot product)" if cpu.has_vnni else "slow: no dot product"
        return f"U8 x S8 with {kind}"
    if not cpu.has_vnni:
        why = "no VNNI: sums of 8-bit products would saturate at 16 bits"
        slow = "" if "avx2" in cpu.instructions else ", and slow: no AVX2 either"
        return f"U8 x S8 with 7-bit weights ({why}{slow})"
    unit = "AMX" if "amx_int8" in cpu.instructions else "VNNI"
    return f"U8 x S8 with full-range weights ({unit})"


def describe_cores(
    topology: Topology,
    allowed: Iterable[int],
    limit: float | None,
    governor: str | None,
    load: float,
) -> Cores:
    """Tell the machine's cores from those that are ours.

    Args:
        topology: all cores of the machine.
        allowed: hardware threads this process may use.
        limit: CPUs' worth of time, None for no limit.
        governor: the frequency governor.
        load: the load average.
    """
    ours = topology.restricted(frozenset(allowed))
    threads = len(ours.cores) if limit is None else min(len(ours.cores), int(limit))
    return Cores(
        sockets=topology.sockets,
        numa_nodes=topology.nodes,
        physical=len(topology.cores),
        logical=len(topology.cpus),
        available=ours.cpus,
        available_cores=len(ours.cores),
        cpu_limit=limit,
        threads=max(1, threads),
        governor=governor,
        load=load,
    )


def read_governor(cpus: Iterable[int], root: Path = Path("/sys/devices/system/cpu")) -> str | None:
    """Return the frequency governors of some CPUs, None where the kernel does not tell."""
    files = [root / f"cpu{cpu}" / "cpufreq" / "scaling_governor" for cpu in cpus]
    return ", ".join(sorted({file.read_text().strip() for file in files if file.exists()})) or None


def benchmark_warnings(cores: Cores, ours: Topology) -> tuple[str, ...]:
    """Say what would ruin a benchmark, and what to do about each.

    Args:
        cores: the description of the machine's cores.
        ours: the cores that this process may use.
    """
    found = []
    if ours.smt:
        found.append(
            f"{len(ours.cpus)} CPUs are threads of {len(ours.cores)} cores (SMT): "
            f"use no more threads than {len(ours.cores)} in all, so that none share a core"
        )
    if cores.governor and "powersave" in cores.governor:
        found.append(
            "the powersave governor changes the frequency: "
            "`sudo cpupower frequency-set -g performance` keeps it high"
        )
    if cores.cpu_limit is not None and cores.cpu_limit < len(ours.cpus):
        found.append(
            f"the container sees {len(ours.cpus)} CPUs and gets the time of {cores.cpu_limit:g}: "
            f"it is halted whenever more run; use no more threads than {cores.threads} in all"
        )
    if overloaded(cores.load, len(ours.cpus)):
        found.append(
            f"the load average is {cores.load:.1f} on {len(ours.cpus)} CPUs: "
            "end other work before measuring"
        )
    return tuple(found)


def describe_backends(entries: Iterable[Entry], cpu: Cpu) -> tuple[BackendStatus, ...]:
    """Tell of every backend but those for tests whether it is installed and what it will run."""
    distributions = importlib.metadata.packages_distributions()
    return tuple(
        _describe_backend(entry, distributions, cpu) for entry in entries if not entry.hidden
    )


def _int8(entry: Entry, cpu: Cpu) -> str:
    return ", ".join(filter(None, (int8_in_words(cpu), entry.int8)))


def _describe_backend(
    entry: Entry, distributions: Mapping[str, Sequence[str]], cpu: Cpu
) -> BackendStatus:
    names = sorted({name for package in entry.packages for name in distributions.get(package, ())})
    missing = entry.missing
    return BackendStatus(
        name=entry.name,
        installed=not missing,
        versions={name: importlib.metadata.version(name) for name in names},
        missing=missing,
        install=entry.install if missing else (),
        int8="nothing until it is installed" if missing else _int8(entry, cpu),
    )
