"""What a benchmark returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from octavo.bench.noise import Noise
from octavo.bench.stats import Latency


@dataclass(frozen=True)
class Measurement:
    """The speed of one model.

    Attributes:
        label: the model's label.
        throughput: completed samples over wall-clock time, samples per second.
        latency: percentiles of the time of one call.
        samples: samples completed while measuring.
        peak_memory_mb: the most memory its worker held, 10^6 bytes.
        cores: the cores its threads could run on, read back from the kernel after warm-up.
    """

    label: str
    throughput: float
    latency: Latency
    samples: int
    peak_memory_mb: float
    cores: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "label": self.label,
            "throughput": self.throughput,
            "latency_ms": self.latency.to_json(),
            "samples": self.samples,
            "peak_memory_mb": self.peak_memory_mb,
            "cores": list(self.cores),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """Read what `to_json` wrote."""
        rest = {name: value for name, value in data.items() if name != "latency_ms"}
        latency = Latency(**data["latency_ms"])
        return cls(**rest | {"latency": latency, "cores": tuple(data["cores"])})


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
