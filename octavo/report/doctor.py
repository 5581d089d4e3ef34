"""The table of `octavo doctor`, made from the same JSON form that `--json` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from octavo.bench.cores import write_cpu_list

Row = Mapping[str, Any]


def doctor_table(result: Row) -> Table:
    """Return the table of `octavo doctor`."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    processor, cores, memory = result["processor"], result["cores"], result["memory_mb"]
    table.add_row("processor", f"{processor['model']} ({processor['architecture']})")
    table.add_row("instructions", _instructions(processor["instructions"]))
    table.add_row("INT8", processor["int8"])
    table.add_row("topology", ", ".join(_topology(cores)))
    table.add_row(
        "cores", f"{cores['available_cores']} of {cores['physical']}, {_many(cores, 'threads')}"
    )
    table.add_row("container", ", ".join(_container(cores, memory)) or "no limits")
    table.add_row("conditions", ", ".join(_conditions(result["conditions"])))
    table.add_row(
        "memory",
        f"{memory['available'] / 1e3:.1f} of {memory['total'] / 1e3:.1f} GB",
    )
    table.add_row("system", f"{result['system']}, Python {result['python']}")
    if threads := _threads(result["backends"]):
        table.add_row("threads", threads)
    for backend in result["backends"]:
        table.add_row(backend["name"], _backend(backend))
    for warning in result["warnings"]:
        table.add_row("warning", warning)
    return table


def _many(counts: Row, name: str, title: str = "") -> str:
    """Return a number with the name of what it counts, as `name` is or without its last letter."""
    title = title or name
    return f"{counts[name]} {title if counts[name] != 1 else title[:-1]}"


def _instructions(sets: Mapping[str, bool]) -> str:
    there = ", ".join(name for name, found in sets.items() if found)
    lacking = ", ".join(name for name, found in sets.items() if not found)
    return (there or "none that matter here") + (f" (not {lacking})" if lacking else "")


def _topology(cores: Row) -> Iterator[str]:
    yield _many(cores, "sockets")
    near = "; ".join(f"{node['node']}: {write_cpu_list(node['cpus'])}" for node in cores["nodes"])
    where = f" ({near})" if cores["numa_nodes"] > 1 else ""
    yield _many(cores, "numa_nodes", "memory nodes") + where
    slow = f" ({cores['efficiency']} of a slower kind)" if cores["efficiency"] else ""
    yield _many(cores, "physical", "cores") + slow
    yield _many(cores, "logical", "hardware threads")
    if cores["offline"]:
        yield f"CPUs {write_cpu_list(cores['offline'])} offline"


def _container(cores: Row, memory: Row) -> Iterator[str]:
    every = {cpu for node in cores["nodes"] for cpu in node["cpus"]}
    if cores["cpuset"] is not None and not every <= set(cores["cpuset"]):
        yield f"CPUs {write_cpu_list(cores['cpuset'])}"
    if cores["cpu_limit"] is not None:
        yield f"the time of {cores['cpu_limit']:g} CPUs"
    if memory["limit"] is not None:
        yield f"{memory['limit'] / 1e3:.1f} GB"


def _conditions(conditions: Row) -> Iterator[str]:
    yield f"load {conditions['load']:.1f}"
    if conditions["steal"] is not None:
        yield f"{conditions['steal']:.1%} of the time stolen"
    if conditions["governor"]:
        yield f"governor {conditions['governor']}"
    if conditions["megahertz"]:
        yield "up to {:.0f} of {:.0f} MHz".format(*conditions["megahertz"])
    if conditions["turbo"] is not None:
        yield f"turbo {'on' if conditions['turbo'] else 'off'}"
    if conditions["governor"] is None and conditions["megahertz"] is None:
        yield "frequency not told"


def _backend(backend: Row) -> str:
    if not backend["installed"]:
        missing = ", ".join(backend["missing"])
        return f"missing {missing}; run: {' && '.join(backend['install'])}"
    versions = ", ".join(f"{name} {version}" for name, version in backend["versions"].items())
    return f"{versions}: {backend['int8']}"


def _threads(backends: Sequence[Row]) -> str:
    """Return the threads of the frameworks that are installed, nothing where none is."""
    there = [backend for backend in backends if backend["installed"]]
    known = [one for one in there if one["default_threads"] is not None]
    parts = [", ".join(f"{one['name']} {one['default_threads']}" for one in known)]
    parts = [f"{part} by default" for part in parts if part]
    parts += [f"{one['benchmark_threads']} per instance in a benchmark" for one in there[:1]]
    return ", ".join(parts)
