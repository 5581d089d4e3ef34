"""The rows of a benchmark's result as a plot needs them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_CONDITIONS = {"layout": "instances x cores", "batch": "batch", "shapes": "shape"}
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True)
class Run:
    """One measurement.

    Attributes:
        model: the model's label.
        baseline: others are compared with it.
        layout: in words, what differs between the measurements: instances, batch, shapes.
        throughput: samples per second.
        interval: its 95 % interval, None where there is none.
        percentiles: latencies in ms by the share of calls that take at most so long.
        curve: latencies in ms, ascending, each with the share of calls that take at most so long.
        noisy: something disturbed it.
    """

    model: str
    baseline: bool
    layout: str
    throughput: float
    interval: tuple[float, float] | None = None
    percentiles: Mapping[float, float] = field(default_factory=dict)
    curve: Sequence[tuple[float, float]] = ()
    noisy: bool = False

    @property
    def latencies(self) -> list[float]:
        """All latencies that are shown."""
        return [*(latency for latency, _ in self.curve), *self.percentiles.values()]

    @property
    def highest(self) -> float:
        """The largest number that its bar has to show."""
        return max(self.throughput, *self.interval) if self.interval else self.throughput


def read_runs(rows: Sequence[Mapping[str, Any]]) -> list[Run]:
    """Read the rows of `octavo benchmark --json`; numbers that are not finite are left out."""
    conditions = [_conditions(row) for row in rows]
    differing = _differing(conditions)
    return [
        _read(row, ", ".join(words[name] for name in differing if words[name]))
        for row, words in zip(rows, conditions, strict=True)
    ]


def constant_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what is the same in all rows."""
    found = [_conditions(row) for row in rows]
    differing = _differing(found)
    words = found[0] | {"layout": _instances(rows[0])}
    return ", ".join(words[name] for name in words if name not in differing and words[name])


def machine_words(result: Mapping[str, Any]) -> str:
    """Name the processor, where the result does."""
    return str((result.get("machine") or {}).get("cpu") or "")


def read_limit(result: Mapping[str, Any]) -> float | None:
    """Return the latency in ms that 99 % of the calls are to keep, None for no limit."""
    found = _finite([result.get("p99_limit_ms")], positive=True)
    return found[0] if found else None


def differing_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what is not the same in all rows."""
    return ", ".join(_CONDITIONS[name] for name in _differing([_conditions(row) for row in rows]))


def _read(row: Mapping[str, Any], layout: str) -> Run:
    throughput = row.get("throughput") or {}
    interval = _finite(throughput.get("interval") or ())
    percentiles = {
        share: float(row["latency_ms"][name])
        for name, share in _PERCENTILES.items()
        if _finite([(row.get("latency_ms") or {}).get(name)], positive=True)
    }
    latencies = sorted(_finite(row.get("latencies_ms") or (), positive=True))
    count = len(latencies)
    curve = [(latency, (at + 0.5) / count) for at, latency in enumerate(latencies)]
    value = _finite([throughput.get("samples_per_s")])
    return Run(
        model=str(row.get("model", "")),
        baseline=row.get("role") == "baseline",
        layout=layout,
        throughput=value[0] if value else 0.0,
        interval=(interval[0], interval[1]) if len(interval) == 2 else None,
        percentiles=percentiles,
        curve=curve or [(latency, share) for share, latency in percentiles.items()],
        noisy=bool(row.get("noise")),
    )


def _finite(values: Iterable[Any], *, positive: bool = False) -> list[float]:
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    return [n for n in numbers if math.isfinite(n) and (n > 0 or not positive)]


def _conditions(row: Mapping[str, Any]) -> dict[str, str]:
    cores = row.get("cores_per_instance", 1)
    batch = row.get("batch_size", 1)
    return {
        "layout": f"{row.get('instances', 1)} x {_count(cores, 'core')}",
        "batch": f"batch {batch}",
        "shapes": _shapes(row.get("shapes"), batch),
    }


def _instances(row: Mapping[str, Any]) -> str:
    instances, cores = row.get("instances", 1), row.get("cores_per_instance", 1)
    return f"{_count(instances, 'instance')} x {_count(cores, 'core')}"


def _count(number: Any, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"


def _shapes(shapes: Any, batch: Any) -> str:
    """Return the shape of one sample of each input, by name, in whichever form they come."""
    if not isinstance(shapes, Mapping):
        return _shape(shapes, batch)
    texts = {str(name): _shape(shape, batch) for name, shape in shapes.items()}
    if len(texts) > 1 and len(set(texts.values())) == 1:
        return f"{len(texts)} inputs {next(iter(texts.values()))}".rstrip()
    return " ".join(f"{name} {text}".rstrip() for name, text in texts.items())


def _shape(shape: Any, batch: Any) -> str:
    if not isinstance(shape, (list, tuple)):
        return str(shape or "")
    sizes = list(shape[1:] if shape and shape[0] == batch else shape)
    return "x".join(map(str, sizes))


def _differing(conditions: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the conditions that are not the same in all rows, in their order."""
    names = conditions[0] if conditions else ()
    return [name for name in names if len({one[name] for one in conditions}) > 1]
