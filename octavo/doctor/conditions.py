"""What changes the speed of a machine from one minute to the next."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from octavo.bench.noise import parse_stat, read_throttled

_CPU = Path("/sys/devices/system/cpu")
_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Conditions:
    """The state of the CPUs that this process may use; what the kernel does not tell is None.

    Attributes:
        load: processes that wanted to run, mean of the last minute.
        steal: the share of the time in which our CPUs wanted to run that the hypervisor took, since
            the machine started.
        governor: the frequency governors.
        megahertz: the frequency that the kernel allows at most and that of the hardware, both of
            the CPU that is held back most.
        turbo: whether cores may run faster than their base frequency while others idle.
        throttled: how often CPUs were slowed down for heat or power since the machine started.
        memory_control: what binds memory to a node: `numactl` or `libnuma`.
    """

    load: float = 0.0
    steal: float | None = None
    governor: str | None = None
    megahertz: tuple[float, float] | None = None
    turbo: bool | None = None
    throttled: int = 0
    memory_control: str | None = None


def read_conditions(cpus: Collection[int], root: Path = _CPU, stat: Path = _STAT) -> Conditions:
    """Look at some CPUs now.

    Args:
        cpus: their numbers.
        root: the folder that holds `cpu0/cpufreq`.
        stat: the kernel's counters of time.
    """
    return Conditions(
        load=os.getloadavg()[0],
        steal=_steal(cpus, stat),
        governor=read_governor(cpus, root),
        megahertz=read_limit(cpus, root),
        turbo=read_turbo(cpus, root),
        throttled=read_throttled(cpus, root),
        memory_control=find_memory_control(),
    )


def read_governor(cpus: Iterable[int], root: Path = _CPU) -> str | None:
    """Return the frequency governors of some CPUs, None where the kernel does not tell."""
    files = (root / f"cpu{cpu}" / "cpufreq" / "scaling_governor" for cpu in cpus)
    return ", ".join(sorted({text for file in files if (text := _text(file))})) or None


def read_limit(cpus: Iterable[int], root: Path = _CPU) -> tuple[float, float] | None:
    """Return the highest frequency allowed and that of the hardware, None where it is not told.

    They are in MHz, of the CPU that is held back most.
    """
    found = []
    for folder in (root / f"cpu{cpu}" / "cpufreq" for cpu in cpus):
        allowed, most = _text(folder / "scaling_max_freq"), _text(folder / "cpuinfo_max_freq")
        if allowed.isdigit() and most.isdigit() and int(most):
            found.append((int(allowed) / 1000, int(most) / 1000))
    return min(found, key=lambda pair: pair[0] / pair[1], default=None)


def read_turbo(cpus: Iterable[int], root: Path = _CPU) -> bool | None:
    """Return whether turbo is on for one of some CPUs, None where the kernel does not tell."""
    if off := _text(root / "intel_pstate" / "no_turbo"):
        return off == "0"
    files = [root / f"cpu{cpu}" / "cpufreq" / "boost" for cpu in cpus]
    told = [text for file in (root / "cpufreq" / "boost", *files) if (text := _text(file))]
    return any(text == "1" for text in told) if told else None


def find_memory_control() -> str | None:
    """Return what can bind memory to a memory node here, None where nothing can."""
    if shutil.which("numactl"):
        return "numactl"
    with contextlib.suppress(OSError):
        ctypes.CDLL("libnuma.so.1")
        return "libnuma"
    return None


def _steal(cpus: Collection[int], stat: Path) -> float | None:
    text = _text(stat)
    times = parse_stat(text, cpus, os.sysconf("SC_CLK_TCK"))
    wanted = times.busy + times.stolen
    return times.stolen / wanted if wanted else None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # absent, or the kernel refuses to tell
        return ""
