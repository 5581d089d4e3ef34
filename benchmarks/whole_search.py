"""How long a whole search takes at full size, and how many samples each of its steps runs.

    python -m benchmarks.whole_search [NETWORK] [--samples 2000] [--calibration 300]

The network (ResNet-50 at 224x224 by default) has random weights: INT8 is judged by its agreement
with FP32 on random pictures, which are drawn anew whenever they are read. Prices of earlier
searches are not used. The goal is 10 minutes for 2,000 samples. A step's samples are forwards of
the float model or of an INT8 one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import octavo
from benchmarks.inputs import random_inputs
from benchmarks.machine import describe_machine
from benchmarks.networks import NETWORKS
from benchmarks.search import no_prices
from octavo.arrays import Array, Batch, batch_size
from octavo.backends.base import Backend, Observer, Session
from octavo.backends.registry import get_backend
from octavo.data.base import LabelledBatch, Role
from octavo.data.batching import rebatched, sample_keys
from octavo.model import Model, TensorSpec
from octavo.target import Target
from octavo.workflow.reporter import Advance

RESULTS = Path(__file__).parent / "results" / "whole_search.json"
GOAL = 600.0
"""Seconds."""
CHUNK = 32


@dataclass
class Steps:
    """A reporter that counts the samples which sessions run, by the step of the run they are in.

    Attributes:
        found: samples and seconds by the title of the step, in their order.
    """

    found: dict[str, dict[str, float]] = field(default_factory=dict)
    _step: str = "between the steps"

    def say(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)

    def warn(self, text: str) -> None:
        """Print it."""
        print(f"warning: {text}", flush=True)

    @contextmanager
    def track(self, title: str, total: int | None) -> Iterator[Advance]:
        """Count what runs until the end under the title."""
        outer, self._step, begun = self._step, title, time.monotonic()
        try:
            yield lambda done: None
        finally:
            self._row(title)["seconds"] += time.monotonic() - begun
            self._step = outer
            print(f"{title}: {self._row(title)}", flush=True)

    def ran(self, samples: int) -> None:
        """Count forwards."""
        self._row(self._step)["samples"] += samples

    def _row(self, title: str) -> dict[str, float]:
        return self.found.setdefault(title, {"samples": 0, "seconds": 0.0})


@dataclass(frozen=True)
class _Counted:
    """A session whose samples are counted."""

    inner: Session
    steps: Steps

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run and count."""
        self.steps.ran(batch_size(batch))
        return self.inner.run(batch)


@contextmanager
def counting(backend: type[Backend], steps: Steps) -> Iterator[None]:
    """Let sessions of a backend, and its passes over calibration data, count their samples."""
    opens, observes = backend.open, backend.observe

    def opened(self: Backend, model: Model, target: Target) -> Session:
        return _Counted(opens(self, model, target), steps)

    def observed(
        self: Backend, model: Model, batches: Iterable[Batch], observer: Observer, target: Target
    ) -> None:
        observes(self, model, _passed(batches, steps), observer, target)

    backend.open, backend.observe = opened, observed  # type: ignore[method-assign]
    try:
        yield
    finally:
        backend.open, backend.observe = opens, observes  # type: ignore[method-assign]


def _passed(batches: Iterable[Batch], steps: Steps) -> Iterator[Batch]:
    for batch in batches:
        steps.ran(batch_size(batch))
        yield batch


@dataclass(frozen=True)
class Pictures:
    """Random pictures for a model, made when they are read; a data set of `octavo.data`."""

    inputs: tuple[TensorSpec, ...]
    size: int
    seed: int
    name: str = "random pictures"
    labelled: bool = False

    def batches(self, batch_size: int | None = None) -> Iterator[LabelledBatch]:
        """Yield them."""
        made = (LabelledBatch(self._sample(index), None) for index in range(self.size))
        return rebatched(made, batch_size or CHUNK)

    def keys(self) -> Iterator[bytes]:
        """Yield a hash of each."""
        return chain.from_iterable(map(sample_keys, self.batches()))

    def _sample(self, index: int) -> Batch:
        return random_inputs(self.inputs, 1, seed=self.seed + index)


def search(name: str, samples: Mapping[Role, int], seconds: float) -> dict[str, Any]:
    """Search a network and return what each step took, JSON-ready."""
    backend, steps = get_backend("onnxruntime"), Steps()
    model = NETWORKS[name]()
    inputs = backend.load(model).inputs
    first = samples["calibration"]
    data = {
        "calibration": Pictures(inputs, first, seed=0),
        "evaluation": Pictures(inputs, samples["evaluation"], seed=first),
    }
    with counting(type(backend), steps), no_prices():
        result = octavo.quantize(model, **data, seconds=seconds, reporter=steps)
    found = result.to_json()
    kept = ("evaluations", "seconds", "accuracy", "throughput", "groups", "saved", "reason")
    return {
        "network": name,
        "samples": samples,
        **{key: found[key] for key in kept},
        "met": found["seconds"] <= GOAL,
        "steps": steps.found,
    }


def main() -> None:
    """Search one network and store what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", nargs="?", choices=list(NETWORKS), default="resnet50")
    parser.add_argument("--samples", type=int, default=2000, help="of the evaluation data")
    parser.add_argument("--calibration", type=int, default=300, help="samples")
    parser.add_argument("--seconds", type=float, default=10.0, help="for measuring a pair")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    samples: dict[Role, int] = {"calibration": given.calibration, "evaluation": given.samples}
    row = search(given.network, samples, given.seconds)
    print(json.dumps(row, indent=1))
    content = {"machine": describe_machine(), "goal_seconds": GOAL, **row}
    given.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
