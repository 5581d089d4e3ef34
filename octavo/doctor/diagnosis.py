"""All of it together."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from octavo.backends.registry import ENTRIES
from octavo.bench.cgroup import cpuset, memory_limit
from octavo.bench.topology import available_topology, offline_cpus, read_topology
from octavo.doctor.advice import benchmark_warnings
from octavo.doctor.conditions import Conditions, read_conditions
from octavo.doctor.cores import Cores, describe_cores
from octavo.doctor.frameworks import BackendStatus, describe_backends
from octavo.doctor.processor import Processor, describe_processor
from octavo.target import detect_cpu


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
class Diagnosis:
    """All that `octavo doctor` shows.

    Attributes:
        processor: the processor.
        cores: its cores and our share of them.
        conditions: what changes their speed.
        memory: the memory.
        python: Python's version.
        system: operating system and kernel.
        backends: every backend there is, installed or not.
        warnings: what would ruin a benchmark, each with what to do.
    """

    processor: Processor
    cores: Cores
    conditions: Conditions
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
    topology, ours = read_topology(), available_topology()
    cores = describe_cores(topology, ours, cpuset=cpuset(), offline=offline_cpus())
    conditions = read_conditions(ours.cpus)
    backends = describe_backends(ENTRIES.values(), cpu, topology, ours)
    memory = psutil.virtual_memory()
    return Diagnosis(
        processor=describe_processor(cpu),
        cores=cores,
        conditions=conditions,
        memory=Memory(memory.total, memory.available, memory_limit()),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        backends=backends,
        warnings=benchmark_warnings(cores, ours, conditions, backends),
    )
