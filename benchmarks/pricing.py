"""Predicted against measured time of mixed plans that prices were not fitted to.

    python -m benchmarks.pricing [NETWORK ...] [--threads 1] [--plans 20] [--seconds 45]

Every network is priced as `octavo quantize` does it, without prices from earlier runs: a few whole
plans are profiled. Then other random plans are predicted, built and measured in turns with the
float model. The goal is that every prediction lies within 15 % of the measurement. A network's
result is written as soon as it is done, and those of the others are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.inputs import random_inputs
from benchmarks.machine import describe_machine
from benchmarks.networks import NETWORKS
from benchmarks.onnx_models import SCENES
from octavo.backends.base import Backend, Ranges
from octavo.backends.registry import get_backend
from octavo.errors import OctavoError
from octavo.graph import Graph
from octavo.measure import SAMPLED, Statistics, tied_ranges
from octavo.model import Model
from octavo.plan import Plan
from octavo.search.initial import Approach, initial_plan, wanted_tensors
from octavo.search.price.plans import random_plan
from octavo.search.price.prices import Cost, Prices
from octavo.search.price.pricing import LIMIT, price
from octavo.search.price.profiles import Profiler
from octavo.search.space import Space, make_space
from octavo.target import Target

RESULTS = Path(__file__).parent / "results" / "pricing.json"
MEASURED = ("resnet50", "mobilenet_v2", "bert_base")
APPROACHES: tuple[Approach, ...] = ("static", "dynamic")
GOAL = 0.15
SEED = 99
"""Of the plans that are predicted; pricing has another one."""


@dataclass(frozen=True)
class Subject:
    """A network that can be priced.

    Attributes:
        space: what plans are made of.
        profiler: builds and times them.
    """

    space: Space
    profiler: Profiler


@dataclass(frozen=True)
class Prediction:
    """One plan.

    Attributes:
        groups: how many are quantized.
        cost: what was predicted.
        seconds: what was measured.
    """

    groups: int
    cost: Cost
    seconds: float

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.cost.seconds / self.seconds - 1

    @property
    def within(self) -> bool:
        """Whether the measurement lies within two standard errors of the prediction."""
        return abs(self.cost.seconds - self.seconds) <= 2 * self.cost.error

    @property
    def row(self) -> dict[str, float]:
        """What is stored."""
        return {
            "groups": self.groups,
            "predicted_ms": round(1e3 * self.cost.seconds, 4),
            "error_ms": round(1e3 * self.cost.error, 4),
            "measured_ms": round(1e3 * self.seconds, 4),
            "relative": round(self.error, 4),
        }


def prepare(backend: Backend, model: Model, threads: int) -> Subject:
    """Describe a model, and measure the ranges that its plans may need on one random sample."""
    batch = random_inputs(model.inputs, 1)
    target = Target(threads=threads, shapes={name: array.shape for name, array in batch.items()})
    graph = backend.graph(model, target)
    space = make_space(graph)
    schemes = wanted_tensors(graph, _each(space))
    axes = {name: one.axis for name, one in schemes.items() if one.axis is not None}
    statistics = Statistics(schemes, channel_axes=axes, limit=SAMPLED)
    backend.observe(model, [batch], statistics, target)

    def ranges(plan: Plan) -> Ranges:
        return tied_ranges(
            statistics, graph.planned(plan), plan.recipe, wanted_tensors(graph, [plan])
        )

    return Subject(space, Profiler(backend, model, graph, target, batch, ranges))


def _each(space: Space) -> Iterator[Plan]:
    """Yield a plan for every format of every group."""
    for name, formats in space.choices.items():
        for one in formats:
            if not one.is_float:
                yield Plan({name: one})


def whole_plans(graph: Graph) -> list[Plan]:
    """Return the plans that quantize as much as they can."""
    plans = [initial_plan(graph, approach=one).plan for one in APPROACHES]
    return [plan for plan in plans if plan.formats]


def predictions(
    subject: Subject, prices: Prices, count: int, failed: list[str]
) -> Iterator[Prediction]:
    """Predict and measure random plans; those that cannot be built are told in `failed`."""
    rng, graph = np.random.default_rng(SEED), subject.profiler.graph
    for _ in range(count):
        plan = random_plan(subject.space, rng)
        try:
            seconds = subject.profiler.time(subject.profiler.build(plan))
        except OctavoError as error:
            failed.append(str(error))
            continue
        yield Prediction(len(plan.formats), prices.predict(graph, plan), seconds)


def summary(found: Sequence[Prediction]) -> dict[str, Any]:
    """Return how far predictions are from measurements."""
    errors = [abs(one.error) for one in found]
    return {
        "plans": len(found),
        "largest_error": round(max(errors), 4),
        "mean_error": round(float(np.mean(errors)), 4),
        "within_two_standard_errors": sum(one.within for one in found),
        "met": max(errors) <= GOAL,
    }


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Price a network, and compare predictions with measurements."""
    backend = get_backend("onnxruntime")
    model = backend.load(onnx.load(SCENES) if name == "scenes" else NETWORKS[name]())
    subject = prepare(backend, model, options.threads)
    failed: list[str] = []
    begun = time.monotonic()
    prices, profiles = price(
        subject.space,
        subject.profiler,
        whole_plans(subject.profiler.graph),
        seconds=options.seconds,
        report=failed.append,
    )
    spent = time.monotonic() - begun
    found = list(predictions(subject, prices, options.plans, failed))
    return {
        "network": name,
        "threads": options.threads,
        "pricing_seconds": round(spent, 1),
        "profiled_plans": len(profiles),
        "float_ms": round(1e3 * prices.float_seconds, 4),
        "model_error": round(prices.model_error, 4),
        **summary(found),
        "failed": failed,
        "rows": [one.row for one in found],
    }


def store(result: dict[str, Any], path: Path = RESULTS) -> None:
    """Write the result of a network; those of others that are there stay."""
    old = json.loads(path.read_text())["networks"] if path.is_file() else []
    kept = [one for one in old if _key(one) != _key(result)]
    content = {"machine": describe_machine(), "goal": GOAL, "networks": _ordered([*kept, result])}
    path.write_text(json.dumps(content, indent=1) + "\n")


def _key(result: dict[str, Any]) -> tuple[str, int]:
    return result["network"], result["threads"]


def _ordered(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ["scenes", *NETWORKS]
    return sorted(results, key=lambda one: (one["threads"], names.index(one["network"])))


def main() -> None:
    """Measure networks one by one; what is done is on disk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ["scenes", *NETWORKS]
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(known))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plans", type=int, default=20, help="that are predicted")
    parser.add_argument("--seconds", type=float, default=LIMIT, help="for pricing")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the file, as JSON")
    options = parser.parse_args()
    if unknown := sorted(set(options.networks) - set(known)):
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(known)}")
    for name in options.networks or MEASURED:
        result = measure(name, options)
        store(result, options.output)
        shown = {key: value for key, value in result.items() if key != "rows"}
        print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
