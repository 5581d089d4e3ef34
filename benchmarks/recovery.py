"""What INT8 takes from networks that it harms, and how much of it corrections bring back.

    python -m benchmarks.recovery [NETWORK ...] [--environments DIR] [--work DIR]

Every network is quantized to static INT8 with ranges by minmax: without corrections, with each of
Octavo's alone and with all, and by NNCF in each of its settings. All of them calibrate on the same
300 scenes and are judged on the same 4,000. Octavo runs in ONNX Runtime, NNCF in OpenVINO.
The networks are in `benchmarks/models` (see `train.py` there for what was done to them), and:

- `scenes`, the demo's network, with channels multiplied by log-normal factors wherever the weights
  that read them can be divided by them. The float model computes what it did.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.onnx_models import SCENES
from benchmarks.peer_models import ENVIRONMENTS, Inputs, Peer, quantize
from octavo.arrays import Array
from octavo.backends.base import Backend
from octavo.backends.registry import get_backend
from octavo.bench.side import write_batch
from octavo.correct import Scale, scaled
from octavo.correct.constants import Constants
from octavo.correct.sites import find_sites
from octavo.data import open_dataset
from octavo.data.scenes import scenes
from octavo.measure import Energy
from octavo.model import Model
from octavo.plan import CORRECTIONS, Correction, Recipe
from octavo.search.initial import initial_plan
from octavo.target import Target
from octavo.workflow.correct import correct_model
from octavo.workflow.reporter import LogReporter
from octavo.workflow.setting import Setting, describe

MODELS = Path(__file__).parent / "models"
RESULTS = Path(__file__).parent / "results" / "recovery.json"
SAMPLES = {"calibration": 300, "evaluation": 4000}
BATCH = 50
SPREAD = 1.1
"""Standard deviation of the logarithm of the factors on channels of `scenes`."""
TRIED: tuple[tuple[Correction, ...], ...] = (
    (),
    *((name,) for name in CORRECTIONS),
    CORRECTIONS,
)
NETWORKS = {"depthwise": "convolution", "scenes": "convolution", "transformer": "attention"}
"""What NNCF is told of each network."""
GRANULARITIES = {"depthwise": ("channel", "tensor")}
"""What weights have scales for; where there is no entry, each output channel."""


@dataclass(frozen=True)
class Subject:
    """A network and what it is judged on.

    Attributes:
        name: its name.
        setting: the float model on its backend.
        images: float32 `[samples, 3, 64, 64]` for the evaluation.
        labels: int64 `[samples]`.
        expected: the logits of the float model.
    """

    name: str
    setting: Setting
    images: Array
    labels: Array
    expected: Array

    @property
    def fp32(self) -> float:
        """The share of samples that the float model reads rightly."""
        return float(self._right(self.expected).mean())

    def _right(self, logits: Array) -> Array:
        return np.asarray(logits.argmax(axis=1) == self.labels)

    def score(self, logits: Array) -> dict[str, float]:
        """Return the accuracy of a quantized model, and what of FP32's is lost, in percent."""
        difference = self._right(self.expected).astype(float) - self._right(logits)
        error = difference.std() / np.sqrt(difference.size)
        return {
            "top1": round(float(self._right(logits).mean()), 5),
            "lost_percent": round(100 * float(difference.mean()) / self.fp32, 2),
            "standard_error": round(100 * float(error) / self.fp32, 2),
            "sqnr_db": round(Energy.of(self.expected, logits).sqnr_db, 1),
        }


def load(backend: Backend, name: str) -> Model:
    """Return a network of this benchmark."""
    if name != "scenes":
        return backend.load(MODELS / f"{name}.onnx")
    model = backend.load(SCENES)
    graph, random = backend.graph(model, Target()), np.random.default_rng(0)
    factors = [
        Scale(*next(iter(site.axes.items())), random.lognormal(0, SPREAD, site.channels))
        for site in find_sites(graph, Constants(backend, model))
        if not site.bounds
    ]
    return scaled(backend, model, graph, factors)


def logits(backend: Backend, model: Model, images: Array, target: Target) -> Array:
    """Return the outputs of a model."""
    session = backend.open(model, target)
    starts = range(0, len(images), BATCH)
    return np.concatenate([session.run({"image": images[i : i + BATCH]})["logits"] for i in starts])


def prepare(name: str) -> Subject:
    """Load a network and run it on the evaluation samples."""
    backend = get_backend("onnxruntime")
    images, labels = scenes("evaluation", SAMPLES["evaluation"])
    model = load(backend, name)
    setting = describe(backend, model, 1, {"image": images[:1]})
    return Subject(name, setting, images, labels, logits(backend, model, images, setting.target))


def octavo_rows(subject: Subject, granularity: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each set of corrections."""
    setting = subject.setting
    backend, target = setting.backend, setting.target
    data = open_dataset(
        f"digits:{SAMPLES['calibration']}", setting.model.inputs, role="calibration"
    )
    for methods in TRIED:
        recipe = Recipe(corrections=methods)
        per_channel = granularity == "channel"
        plan = initial_plan(setting.graph, recipe=recipe, per_channel=per_channel).plan
        made = correct_model(setting, plan, data, BATCH, LogReporter())
        built = backend.build(made.model, plan, made.ranges, target)
        yield {
            "tool": "octavo",
            "setting": ", ".join(methods) or "no correction",
            **subject.score(logits(backend, built, subject.images, target)),
            "kept": [name for name, record in made.record.items() if record["kept"]],
        }


def nncf_rows(
    subject: Subject, granularity: str, folder: Path, environments: Path
) -> Iterator[dict[str, Any]]:
    """Yield a row for each setting of NNCF."""
    place = folder / subject.name
    inputs = Inputs(place / "model.onnx", place / "calibration.npz", place / "evaluation.npz")
    place.mkdir(parents=True, exist_ok=True)
    subject.setting.backend.save(subject.setting.model, place)
    write_batch(inputs.calibration, {"image": scenes("calibration", SAMPLES["calibration"])[0]})
    write_batch(inputs.evaluation, {"image": subject.images})
    approach = f"{NETWORKS[subject.name]}-{granularity}"
    peer = Peer("recover_nncf", "OpenVINO + NNCF", "openvino", "openvino", (approach,))
    for made in quantize(peer, approach, inputs, place / granularity, environments):
        row = {"tool": "nncf", "setting": made.setting, "seconds": made.seconds}
        if made.error:
            yield {**row, "error": made.error}
            continue
        with np.load(made.folder / "outputs.npz") as file:
            yield {**row, **subject.score(file["arr_0"])}


def measure(name: str, folder: Path, environments: Path) -> list[dict[str, Any]]:
    """Return the results of one network, one for each kind of weight scales."""
    subject = prepare(name)
    found = []
    for granularity in GRANULARITIES.get(name, ("channel",)):
        head = {"network": name, "weight_scales_per": granularity, "fp32_top1": subject.fp32}
        rows = []
        nncf = nncf_rows(subject, granularity, folder, environments)
        for row in chain(octavo_rows(subject, granularity), nncf):
            print(json.dumps({**head, **row}), flush=True)
            rows.append(row)
        found.append({**head, "rows": rows})
    return found


def store(results: Sequence[dict[str, Any]]) -> None:
    """Write results; those of other networks that are there stay."""
    names = {result["network"] for result in results}
    old = json.loads(RESULTS.read_text())["networks"] if RESULTS.is_file() else []
    kept = [result for result in old if result["network"] not in names]
    content = {
        "machine": describe_machine(),
        "samples": SAMPLES,
        "networks": sorted([*kept, *results], key=lambda one: list(NETWORKS).index(one["network"])),
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Measure networks one by one; what is done is on disk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", choices=[*NETWORKS, []], default=list(NETWORKS))
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--work", type=Path, help="keeps NNCF's models for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.networks:
            store(measure(name, options.work or Path(temporary), options.environments))


if __name__ == "__main__":
    main()
