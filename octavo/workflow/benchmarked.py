"""What a benchmark found: every case that was measured, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from octavo.bench import Measurement, PairResult, SingleResult
from octavo.workflow.cases import Case, Shapes


@dataclass(frozen=True)
class Measured:
    """One case.

    Attributes:
        case: the layout, the batch size and the swept shapes.
        shapes: of all inputs of a call.
        measured: the model alone, or in turns with the baseline.
        others: the same in turns with the further float forms of the baseline, by name.
    """

    case: Case
    shapes: Shapes
    measured: SingleResult | PairResult
    others: Mapping[str, PairResult] = field(default_factory=dict)

    @property
    def model(self) -> Measurement:
        """The speed of the model."""
        found = self.measured
        return found.model if isinstance(found, SingleResult) else found.candidate

    @property
    def pairs(self) -> list[PairResult]:
        """The model in turns with every form of the baseline; none where it was alone."""
        first = [self.measured] if isinstance(self.measured, PairResult) else []
        return [*first, *self.others.values()]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        others = {name: pair.to_json() for name, pair in self.others.items()}
        return {
            **self.measured.to_json(),
            **({"baselines": others} if others else {}),
            "shapes": _listed(self.shapes),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a JSON-ready row for every baseline, and one for the model."""
        baselines = [self._row("baseline", pair.baseline, pair) for pair in self.pairs]
        row = self._row("model", self.model, self.measured)
        ratios = [
            {
                "baseline": pair.baseline.label,
                "ratio": pair.ratio,
                "ratio_ci95": list(pair.ratio_ci95),
                "noise": list(pair.noise.reasons),
            }
            for pair in self.pairs
        ]
        return [*baselines, row | {"ratios": ratios}]

    def _row(
        self, role: str, speed: Measurement, result: SingleResult | PairResult
    ) -> dict[str, Any]:
        return {
            "model": speed.label,
            "role": role,
            "instances": result.instances,
            "cores_per_instance": result.cores_per_instance,
            "batch_size": result.batch_size,
            "shapes": _listed(self.shapes),
            "throughput": {
                "samples_per_s": speed.throughput,
                "interval": speed.throughput_ci95 and list(speed.throughput_ci95),
            },
            "latency_ms": speed.latency.to_json(),
            "peak_memory_mb": speed.peak_memory_mb,
            "noise": list(result.noise.reasons),
            "per_instance": [one.to_json() for one in speed.per_instance],
            "latencies_ms": list(speed.latencies_ms),
        }


@dataclass(frozen=True)
class Failure:
    """A case that could not be measured.

    Attributes:
        case: the case.
        error: why.
    """

    case: Case
    error: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return _described(self.case) | {"error": self.error}


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Attributes:
        cases: every case, at least one.
        machine: where; see `octavo.workflow.machine`.
        p99_ms: the latency that 99 % of the calls are to keep, None for no limit.
        failures: the cases that could not be measured.
    """

    cases: Sequence[Measured]
    machine: Mapping[str, Any] = field(default_factory=dict)
    p99_ms: float | None = None
    failures: Sequence[Failure] = ()

    @property
    def measured(self) -> SingleResult | PairResult:
        """The model alone or in turns with its baseline, in the best case of the first shapes."""
        return self.best[0].measured

    @property
    def others(self) -> Mapping[str, PairResult]:
        """The model in turns with the further float forms of the baseline, in the same case."""
        return self.best[0].others

    @property
    def best(self) -> list[Measured]:
        """The case of the highest throughput within the limit, for each of the shapes.

        Where none is within it, the one of the lowest latency.
        """
        by_shapes: dict[str, list[Measured]] = {}
        for one in self.cases:
            by_shapes.setdefault(str({n: s[1:] for n, s in one.shapes.items()}), []).append(one)
        return [self._best_of(found) for found in by_shapes.values()]

    def within(self, one: Measured) -> bool:
        """Return whether a case keeps the latency limit."""
        return self.p99_ms is None or one.model.latency.p99 <= self.p99_ms

    def _best_of(self, found: Sequence[Measured]) -> Measured:
        kept = [one for one in found if self.within(one)]
        if not kept:
            return min(found, key=lambda one: one.model.latency.p99)
        return max(kept, key=lambda one: one.model.throughput)

    def to_json(self) -> dict[str, Any]:
        """Return what `octavo benchmark --json` prints: the best case, and a row for all."""
        found = {**self.best[0].to_json(), "machine": dict(self.machine)}
        found["rows"] = [row for one in self.cases for row in one.rows()]
        if len(self.cases) + len(self.failures) > 1 or self.p99_ms is not None:
            found["best"] = [self._described(one) for one in self.best]
        if self.p99_ms is not None:
            found["p99_limit_ms"] = self.p99_ms
        if self.failures:
            found["failures"] = [one.to_json() for one in self.failures]
        return found

    def _described(self, one: Measured) -> dict[str, Any]:
        return _described(one.case) | {
            "samples_per_s": one.model.throughput,
            "p99_ms": one.model.latency.p99,
            "within_limit": self.within(one),
        }


def _described(case: Case) -> dict[str, Any]:
    return {
        "case": str(case),
        "instances": case.layout.instances,
        "cores_per_instance": case.layout.cores,
        "batch_size": case.batch_size,
        "shapes": _listed(case.shapes),
    }


def _listed(shapes: Shapes) -> dict[str, list[int]]:
    return {name: list(shape) for name, shape in shapes.items()}
