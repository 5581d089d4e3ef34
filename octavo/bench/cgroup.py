"""The CPUs, their time and the memory that a container (a control group) leaves this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from octavo.bench.cores import parse_cpu_list

GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
_NO_MEMORY_LIMIT = 1 << 60
"""Version 1 writes the largest multiple of a page where there is no limit."""


def parse_cpu_max(text: str) -> float | None:
    """Read `cpu.max` of version 2: `200000 100000` is 2.0 CPUs, `max 100000` is no limit."""
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


def parse_cfs(quota: str, period: str) -> float | None:
    """Read `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1; a quota of -1 is no limit."""
    return None if int(quota) <= 0 else int(quota) / int(period)


def parse_membership(text: str) -> dict[str, str]:
    """Read `/proc/self/cgroup`: the path by controller; version 2 has the empty name."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def cpu_limit(root: Path = GROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Return how many CPUs' worth of time this process may use, None for no limit.

    The limits of all groups that hold the process count, the smallest one rules.

    Args:
        root: where the control groups are mounted.
        membership: the file that says which groups hold the process.
    """
    return _smallest(root, membership, "cpu", _cpu_limit_of)


def memory_limit(root: Path = GROUPS, membership: Path = MEMBERSHIP) -> int | None:
    """Return how many bytes this process may use, None for no limit; arguments as `cpu_limit`."""
    limit = _smallest(root, membership, "memory", _memory_limit_of)
    return None if limit is None else int(limit)


def cpuset(root: Path = GROUPS, membership: Path = MEMBERSHIP) -> tuple[int, ...] | None:
    """Return the hardware threads that the groups around this process allow; arguments as above.

    None: no group tells.
    """
    sets = [
        frozenset(cpus)
        for folder in _groups(root, membership, "cpuset")
        if (cpus := _cpuset_of(folder))
    ]
    return tuple(sorted(frozenset.intersection(*sets))) if sets else None


def halted_seconds(root: Path = GROUPS, membership: Path = MEMBERSHIP) -> float:
    """Return for how long CPUs were kept from running this process, its time being used up.

    All groups that hold the process count, and every CPU that wanted to run; arguments as above.
    """
    folders = _groups(root, membership, "cpu")
    return sum(map(_halted_seconds_of, folders))


def parse_cpu_stat(text: str) -> float:
    """Read `cpu.stat` of both versions: the seconds for which CPUs were halted."""
    fields = dict(line.split() for line in text.splitlines())
    return int(fields.get("throttled_usec", 0)) / 1e6 + int(fields.get("throttled_time", 0)) / 1e9


def _smallest(
    root: Path, membership: Path, controller: str, limit_of: Callable[[Path], float | None]
) -> float | None:
    limits = [limit_of(folder) for folder in _groups(root, membership, controller)]
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(root: Path, membership: Path, controller: str) -> list[Path]:
    if not membership.exists():
        return []
    folders = _folders(root, parse_membership(membership.read_text()), controller)
    return list({folder.resolve(): folder for folder in folders}.values())


def _folders(root: Path, paths: dict[str, str], controller: str) -> Iterator[Path]:
    """The group of the process and those around it, in both versions.

    Inside a container the path may be that of the host, where only its last part is seen as root.
    """
    mounts = {"": (root, root / "unified"), controller: (root / controller, root / "cpu,cpuacct")}
    for name in mounts.keys() & paths.keys():
        path = Path(paths[name].lstrip("/"))
        for mount in mounts[name]:
            yield from (mount / part for part in (path, *path.parents) if (mount / part).is_dir())


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # absent, or the kernel refuses to tell
        return ""


def _cpu_limit_of(folder: Path) -> float | None:
    if version_2 := _text(folder / "cpu.max"):
        return parse_cpu_max(version_2)
    quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    return parse_cfs(quota, period) if quota and period else None


def _memory_limit_of(folder: Path) -> float | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        if text := _text(folder / name):
            limit = _NO_MEMORY_LIMIT if text == "max" else int(text)
            return limit if limit < _NO_MEMORY_LIMIT else None
    return None


def _cpuset_of(folder: Path) -> tuple[int, ...]:
    names = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
    return next((parse_cpu_list(text) for name in names if (text := _text(folder / name))), ())


def _halted_seconds_of(folder: Path) -> float:
    return parse_cpu_stat(_text(folder / "cpu.stat"))
