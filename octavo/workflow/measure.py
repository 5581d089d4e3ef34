"""Speed on the target: saved models in pinned processes, FP32 and INT8 in turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavo.backends.base import Backend
from octavo.bench import ModelRef, PairResult, measure_pair
from octavo.model import Model
from octavo.target import Target
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting

PATIENCE = 3
"""How many times longer a measurement takes that is made again."""


@dataclass(frozen=True)
class Throughput:
    """INT8 against every FP32 form of the model.

    Attributes:
        pairs: what was measured, by the name of the baseline; `default` is always there.
    """

    pairs: Mapping[str, PairResult]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Throughput:
        """Read pairs as `PairResult.to_json` wrote them, by the name of the baseline."""
        return cls({name: PairResult.from_json(pair) for name, pair in data.items()})

    @property
    def memory_gain(self) -> float:
        """The most memory that a worker with FP32 held over that of one with INT8, the least."""
        return min(
            pair.baseline.peak_memory_mb / pair.candidate.peak_memory_mb
            for pair in self.pairs.values()
        )

    @property
    def faster(self) -> bool:
        """Whether INT8 is faster than each baseline beyond the noise of the measurement."""
        return all(pair.ratio_ci95[0] > 1.0 for pair in self.pairs.values())

    @property
    def unclear(self) -> bool:
        """Whether INT8 looks faster than each baseline, and the noise may be all there is to it."""
        return min(self.ratios) > 1.0 and not self.faster

    @property
    def closest(self) -> PairResult:
        """The pair in which INT8 is the least surely faster."""
        return min(self.pairs.values(), key=lambda pair: pair.ratio_ci95[0])

    @property
    def ratios(self) -> list[float]:
        """The speed of INT8 over that of each baseline."""
        return [pair.ratio for pair in self.pairs.values()]

    @property
    def noise(self) -> list[str]:
        """What may have disturbed the measurement."""
        reasons = [reason for pair in self.pairs.values() for reason in pair.noise.reasons]
        return list(dict.fromkeys(reasons))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form; the ratios to other baselines are under `baselines`.

        `baseline` says what the float model ran as: FP32, unless the runtime's default is shorter.
        """
        main = self.pairs["default"]
        others = {
            name: {
                "baseline": pair.baseline.label,
                "fp32": pair.baseline.throughput,
                "ratio": pair.ratio,
                "ratio_ci95": list(pair.ratio_ci95),
            }
            for name, pair in self.pairs.items()
            if name != "default"
        }
        return {
            "baseline": main.baseline.label,
            "fp32": main.baseline.throughput,
            "int8": main.candidate.throughput,
            "ratio": main.ratio,
            "ratio_ci95": list(main.ratio_ci95),
            "instances": main.instances,
            "cores_per_instance": main.cores_per_instance,
            "batch_size": main.batch_size,
            "noise": self.noise,
            **({"baselines": others} if others else {}),
        }


def float_forms(backend: Backend, model: Model, target: Target) -> dict[str, Model]:
    """Return what INT8 is compared with: every float form of the model, `default` first."""
    return {"default": model} | dict(backend.baselines(model, target))


def save_baselines(setting: Setting, place: Path, trust: bool) -> dict[str, ModelRef]:
    """Save every FP32 form of the model below `place`, `default` first."""
    forms = float_forms(setting.backend, setting.model, setting.target)
    plain = "the given model, quantized already" if setting.graph.quantized else "FP32"
    return {
        name: save_model(setting, model, place / f"fp32-{name}", model.label or plain, trust)
        for name, model in forms.items()
    }


def save_model(setting: Setting, model: Model, folder: Path, label: str, trust: bool) -> ModelRef:
    """Save a model into a new folder, to be measured from there."""
    folder.mkdir()
    setting.backend.save(model, folder)
    return ModelRef(setting.backend.name, folder, label, trust=trust)


def measure_against(
    baselines: Mapping[str, ModelRef],
    candidate: ModelRef,
    setting: Setting,
    seconds: float,
    seed: int,
    reporter: Reporter,
) -> Throughput:
    """Measure a model in turns with each baseline.

    Args:
        baselines: saved FP32 models by name.
        candidate: the saved INT8 model.
        setting: the target and the inputs of every call.
        seconds: the time for each pair.
        seed: of the bootstrap.
        reporter: is told the progress.
    """
    pairs = {}
    for name, baseline in baselines.items():
        against = "" if len(baselines) == 1 else f" against {baseline.label}"
        title = f"measuring{against} for up to {seconds:g} s"
        with reporter.track(title, None):
            pairs[name] = measure_pair(
                baseline, candidate, setting.sample, setting.target, seconds=seconds, seed=seed
            )
    return Throughput(pairs)


def measure_surely(
    baselines: Mapping[str, ModelRef],
    candidate: ModelRef,
    setting: Setting,
    seconds: float,
    seed: int,
    reporter: Reporter,
) -> Throughput:
    """Measure as `measure_against` does, once more and longer where the noise leaves it open.

    Args:
        baselines: saved FP32 models by name.
        candidate: the saved INT8 model.
        setting: the target and the inputs of every call.
        seconds: the time for each pair; `PATIENCE` times that for the second measurement.
        seed: of the bootstrap.
        reporter: is told the progress.
    """
    found = measure_against(baselines, candidate, setting, seconds, seed, reporter)
    if not found.unclear:
        return found
    reporter.say(f"{format_closest(found)} does not tell which is faster: measuring again")
    return measure_against(baselines, candidate, setting, PATIENCE * seconds, seed, reporter)


def format_closest(throughput: Throughput) -> str:
    """Return the ratio to the baseline over which INT8 is the least surely faster.

    Where there are several the baseline is named.
    """
    closest = throughput.closest
    over = f" over {closest.baseline.label}" if len(throughput.pairs) > 1 else ""
    return f"{format_ratio(closest)}{over}"


def format_ratio(pair: PairResult) -> str:
    """Return a ratio with its interval, such as `1.25x, 0.70 to 1.63`."""
    low, high = pair.ratio_ci95
    return f"{pair.ratio:.2f}x, {low:.2f} to {high:.2f}"
