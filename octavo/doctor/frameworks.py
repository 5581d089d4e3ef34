"""Which frameworks are there, what they run in INT8 here, and on how many threads."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from octavo.backends.registry import Entry
from octavo.bench.cores import Topology
from octavo.doctor.processor import int8_in_words
from octavo.target import Cpu

BENCHMARK_THREADS = 1
"""Threads of one instance in `octavo benchmark` unless an artifact or an option says another."""


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
        default_threads: threads that it starts here if nobody sets them; None where it is not
            known or not installed.
        benchmark_threads: threads of one instance in a benchmark, which sets them; None where it
            is not installed.
    """

    name: str
    installed: bool
    versions: Mapping[str, str]
    missing: tuple[str, ...]
    install: tuple[str, ...]
    int8: str
    default_threads: int | None = None
    benchmark_threads: int | None = None


def describe_backends(
    entries: Iterable[Entry], cpu: Cpu, topology: Topology, ours: Topology
) -> tuple[BackendStatus, ...]:
    """Tell of every backend but those for tests whether it is installed and what it will run.

    Args:
        entries: the backends.
        cpu: the processor.
        topology: all cores of the machine.
        ours: those this process may use.
    """
    distributions = importlib.metadata.packages_distributions()
    return tuple(
        _describe(entry, distributions, cpu, default_threads(entry, topology, ours))
        for entry in entries
        if not entry.hidden
    )


def default_threads(
    entry: Entry,
    topology: Topology,
    ours: Topology,
    environment: Mapping[str, str] = os.environ,
) -> int | None:
    """Return how many threads a framework starts if nobody sets them, None where it is not known.

    Args:
        entry: its backend.
        topology: all cores of the machine.
        ours: those this process may use.
        environment: where frameworks look for the number.
    """
    told = (environment.get(name, "") for name in entry.thread_variables)
    for number in told:
        if number.isdigit() and int(number) > 0:
            return int(number)
    if entry.threads == "machine":
        return len(topology.cores)
    if entry.threads == "process":
        sockets = [core.socket for core in ours.cores]
        return max((sockets.count(socket) for socket in sockets), default=1)
    return None


def _int8(entry: Entry, cpu: Cpu) -> str:
    return ", ".join(filter(None, (int8_in_words(cpu), entry.int8)))


def _describe(
    entry: Entry, distributions: Mapping[str, Sequence[str]], cpu: Cpu, threads: int | None
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
        default_threads=None if missing else threads,
        benchmark_threads=None if missing else BENCHMARK_THREADS,
    )
