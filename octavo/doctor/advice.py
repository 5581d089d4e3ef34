"""What would ruin a benchmark, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from octavo.bench.cores import Topology, write_cpu_list
from octavo.bench.noise import STEAL_LIMIT, overloaded
from octavo.doctor.conditions import Conditions
from octavo.doctor.cores import Cores
from octavo.doctor.frameworks import BackendStatus

_HELD_BACK = 0.98
"""A limit below this share of the hardware's frequency is worth a word; less is rounding."""


def benchmark_warnings(
    cores: Cores, ours: Topology, conditions: Conditions, backends: Iterable[BackendStatus] = ()
) -> tuple[str, ...]:
    """Say what would ruin a benchmark, and what to do about each.

    Args:
        cores: the description of the machine's cores.
        ours: the cores that this process may use.
        conditions: the state they are in.
        backends: the frameworks.
    """
    return (
        *_about_cores(cores, ours),
        *_about_frequency(conditions),
        *_about_others(conditions, ours),
        *_about_memory(conditions, ours),
        *_about_frameworks(cores, backends),
    )


def _about_cores(cores: Cores, ours: Topology) -> Iterator[str]:
    if ours.smt:
        yield (
            f"{len(ours.cpus)} CPUs are threads of {len(ours.cores)} cores (SMT): "
            f"use no more threads than {len(ours.cores)} in all, so that none share a core"
        )
    fast = [cpu for core in ours.cores if not core.efficiency for cpu in core.cpus]
    if 0 < len(fast) < len(ours.cpus):
        slow = sum(core.efficiency for core in ours.cores)
        yield (
            f"{slow} of {len(ours.cores)} cores are of a slower kind: "
            f"`taskset -c {write_cpu_list(fast)} octavo ...` keeps to the fast ones"
        )
    if cores.cpu_limit is not None and cores.cpu_limit < len(ours.cpus):
        yield (
            f"the container sees {len(ours.cpus)} CPUs and gets the time of {cores.cpu_limit:g}: "
            f"it is halted whenever more run; use no more threads than {cores.threads} in all"
        )


def _about_frequency(conditions: Conditions) -> Iterator[str]:
    if conditions.governor and "powersave" in conditions.governor:
        yield (
            "the powersave governor changes the frequency: "
            "`sudo cpupower frequency-set -g performance` keeps it high"
        )
    if conditions.megahertz and conditions.megahertz[0] < _HELD_BACK * conditions.megahertz[1]:
        allowed, most = conditions.megahertz
        yield (
            f"CPUs may run at {allowed:.0f} MHz, their hardware at {most:.0f}: "
            f"`sudo cpupower frequency-set -u {most:.0f}MHz` lifts the limit"
        )
    if conditions.turbo:
        yield (
            "turbo is on: cores run the faster the fewer are busy and the cooler they are; for "
            "figures that repeat, write 1 to intel_pstate/no_turbo or 0 to cpufreq/boost in "
            "/sys/devices/system/cpu"
        )
    if conditions.throttled:
        yield (
            "CPUs were slowed down for heat or power since the machine started "
            f"({conditions.throttled} events): check its cooling and power limits"
        )


def _about_others(conditions: Conditions, ours: Topology) -> Iterator[str]:
    if overloaded(conditions.load, len(ours.cpus)):
        yield (
            f"the load average is {conditions.load:.1f} on {len(ours.cpus)} CPUs: "
            "end other work before measuring"
        )
    if conditions.steal is not None and conditions.steal > STEAL_LIMIT:
        yield (
            f"the hypervisor has taken {conditions.steal:.0%} of the time that our CPUs wanted: "
            "other machines share the processor; measure on one of your own"
        )


def _about_memory(conditions: Conditions, ours: Topology) -> Iterator[str]:
    if ours.nodes > 1 and conditions.memory_control is None:
        yield (
            f"our cores have {ours.nodes} memory nodes and there is no numactl: memory of an "
            "instance may lie far from its cores; `sudo apt-get install numactl` (or `dnf`)"
        )


def _about_frameworks(cores: Cores, backends: Iterable[BackendStatus]) -> Iterator[str]:
    for backend in backends:
        if backend.default_threads and backend.default_threads > cores.threads:
            yield (
                f"{backend.name} starts {backend.default_threads} threads by default, and "
                f"{cores.threads} run at full speed: set its threads wherever it serves, as a "
                "benchmark does"
            )
