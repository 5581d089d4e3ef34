"""What a benchmark returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from octavo.bench.noise import Noise
from octavo.bench.stats import Latency


@dataclass(frozen=True)
class Instance:
    """One of the processes that run a model at the same time.

    Attributes:
        cores: the cores its threads could run on, read back from the kernel after warm-up.
        memory_node: the memory node it was bound to, as the kernel tells; None where it was not.
        throughput: samples per second, while all instances ran.
        latency: percentiles of the time of one call.
        samples: samples completed while measuring.
        peak_memory_mb: the most memory it held, 10^6 bytes.
    """

    cores: tuple[int, ...]
    memory_node: int | None
    throughput: float
    latency: Latency
    samples: int
    peak_memory_mb: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "cores": list(self.cores),
            "memory_node": self.memory_node,
            "throughput": self.throughput,
            "latency_ms": self.latency.to_json(),
            "samples": self.samples,
            "peak_memory_mb": self.peak_memory_mb,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Instance:
        """Read what `to_json` wrote."""
        rest = {name: value for name, value in data.items() if name != "latency_ms"}
        latency = Latency(**data["latency_ms"])
        return cls(**rest | {"latency": latency, "cores": tuple(data["cores"])})


@dataclass(frozen=True)
class Measurement:
    """The speed of one model, of all its instances together.

    Attributes:
        label: the model's label.
        throughput: completed samples over wall-clock time, samples per second.
        latency: percentiles of the time of one call.
        samples: samples completed while measuring.
        peak_memory_mb: the most memory that its workers held, 10^6 bytes; several are added up.
        cores: the cores their threads could run on, read back from the kernel after warm-up.
        throughput_ci95: the 95 % confidence interval of the throughput, from the blocks.
        per_instance: the same for every instance.
        latencies_ms: at most 2,000 latencies, sorted and evenly spaced; not in the JSON form.
    """

    label: str
    throughput: float
    latency: Latency
    samples: int
    peak_memory_mb: float
    cores: tuple[int, ...]
    throughput_ci95: tuple[float, float] | None = None
    per_instance: tuple[Instance, ...] = ()
    latencies_ms: tuple[float, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "label": self.label,
            "throughput": self.throughput,
            "throughput_ci95": self.throughput_ci95 and list(self.throughput_ci95),
            "latency_ms": self.latency.to_json(),
            "samples": self.samples,
            "peak_memory_mb": self.peak_memory_mb,
            "cores": list(self.cores),
            "per_instance": [one.to_json() for one in self.per_instance],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """Read what `to_json` wrote, now or before it told of instances."""
        interval = data.get("throughput_ci95")
        return cls(
            label=data["label"],
            throughput=data["throughput"],
            latency=Latency(**data["latency_ms"]),
            samples=data["samples"],
            peak_memory_mb=data["peak_memory_mb"],
            cores=tuple(data["cores"]),
            throughput_ci95=(interval[0], interval[1]) if interval else None,
            per_instance=tuple(map(Instance.from_json, data.get("per_instance", ()))),
        )


@dataclass(frozen=True)
class SingleResult:
    """One model measured by itself.

    Attributes:
        model: its speed.
        throughput_ci95: the 95 % confidence interval of its throughput, from the blocks.
        blocks: the number of blocks.
        seconds: wall-clock time spent on them.
        batch_size: samples per call.
        cores_per_instance: threads, each on a core of its own.
        noise: what may have disturbed it.
        instances: processes that ran at a time.
    """

    model: Measurement
    throughput_ci95: tuple[float, float]
    blocks: int
    seconds: float
    batch_size: int
    cores_per_instance: int
    noise: Noise
    instances: int = 1

    @property
    def noisy(self) -> bool:
        """Whether the figures should not be relied on; `noise.reasons` says why."""
        return bool(self.noise.reasons)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "model": self.model.to_json(),
            "throughput": self.model.throughput,
            "throughput_ci95": list(self.throughput_ci95),
            **_conditions(self),
        }


@dataclass(frozen=True)
class PairResult:
    """Two models measured in turns.

    Attributes:
        baseline: the speed of the model compared with, as a rule FP32.
        candidate: the speed of the other one, as a rule INT8.
        ratio: throughput of the candidate over that of the baseline.
        ratio_ci95: its 95 % confidence interval.
        blocks: the number of pairs of blocks.
        seconds: wall-clock time spent on them.
        batch_size: samples per call.
        cores_per_instance: threads, each on a core of its own.
        noise: what may have disturbed it.
        instances: processes of one model that ran at a time.
    """

    baseline: Measurement
    candidate: Measurement
    ratio: float
    ratio_ci95: tuple[float, float]
    blocks: int
    seconds: float
    batch_size: int
    cores_per_instance: int
    noise: Noise
    instances: int = 1

    @property
    def noisy(self) -> bool:
        """Whether the figures should not be relied on; `noise.reasons` says why."""
        return bool(self.noise.reasons)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "baseline": self.baseline.to_json(),
            "candidate": self.candidate.to_json(),
            "ratio": self.ratio,
            "ratio_ci95": list(self.ratio_ci95),
            **_conditions(self),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PairResult:
        """Read what `to_json` wrote."""
        low, high = data["ratio_ci95"]
        rest = {name: value for name, value in data.items() if name != "noisy"}
        read = {
            "baseline": Measurement.from_json(data["baseline"]),
            "candidate": Measurement.from_json(data["candidate"]),
            "ratio_ci95": (low, high),
            "noise": Noise.from_json(data["noise"]),
        }
        return cls(**rest | read)


def _conditions(result: SingleResult | PairResult) -> dict[str, Any]:
    return {
        "blocks": result.blocks,
        "seconds": result.seconds,
        "instances": result.instances,
        "cores_per_instance": result.cores_per_instance,
        "batch_size": result.batch_size,
        "noisy": result.noisy,
        "noise": result.noise.to_json(),
    }
