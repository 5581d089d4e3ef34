"""The networks of the benchmark of searches, the data they are judged on, and what INT8 takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from benchmarks.metrics import METRICS, Scores
from benchmarks.models.halves import whole
from benchmarks.models.tasks import labelled
from benchmarks.peer_models import Inputs
from octavo.arrays import Array, Batch
from octavo.backends.base import Backend
from octavo.backends.registry import get_backend
from octavo.bench.side import write_batch
from octavo.data.base import Role
from octavo.measure import Statistics, tied_ranges
from octavo.model import Model
from octavo.plan import Recipe
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.target import Cpu, Target, detect_cpu

MODELS = Path(__file__).parent / "models"
LABEL = "label"
BATCH = 50


@dataclass(frozen=True)
class Network:
    """A network of `benchmarks/models`.

    Attributes:
        kind: what NNCF is told of it.
        task: what it reads from a scene, of `benchmarks.models.tasks`.
        metric: of `benchmarks.metrics`.
    """

    kind: Literal["convolution", "attention"] = "convolution"
    task: Literal["digit", "pixels", "quarter"] = "digit"
    metric: Literal["top1", "iou"] = "top1"


NETWORKS = {
    "depthwise": Network(),
    "transformer": Network("attention"),
    "se_hardswish": Network(),
    "lstm": Network(),
    "segmentation": Network(task="pixels", metric="iou"),
    "not_faster": Network(task="quarter"),
}


@dataclass(frozen=True)
class Subject:
    """A network with its data on disk, as every tool reads them.

    Attributes:
        name: its name.
        network: what it is.
        folder: for all that is made of it.
        inputs: the float model, calibration data, and evaluation data with labels.
        images: float32 `[samples, 3, 64, 64]` for the evaluation.
        labels: what the metric compares with, axis 0 = samples.
    """

    name: str
    network: Network
    folder: Path
    inputs: Inputs
    images: Array
    labels: Array

    def scores(self, outputs: Mapping[str, Array]) -> Scores:
        """Return the score of each sample."""
        return METRICS[self.network.metric](outputs, self.labels)

    @property
    def batch(self) -> dict[str, Array]:
        """One sample, to be timed on."""
        return {"image": self.images[:1]}


def prepare(name: str, folder: Path, samples: Mapping[Role, int]) -> Subject:
    """Write a network and its data into a folder of its own."""
    network, place = NETWORKS[name], folder / name
    inputs = Inputs(
        place / "fp32" / "model.onnx", place / "calibration.npz", place / "evaluation.npz"
    )
    inputs.model.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(whole(MODELS / f"{name}.onnx"), inputs.model)
    calibration, _ = labelled(network.task, "calibration", samples["calibration"])
    write_batch(inputs.calibration, {"image": calibration})
    images, labels = labelled(network.task, "evaluation", samples["evaluation"])
    write_batch(inputs.evaluation, {"image": images, LABEL: labels})
    return Subject(name, network, place, inputs, images, labels)


def outputs(backend: Backend, model: Model, images: Array, target: Target) -> dict[str, Array]:
    """Return the outputs of a model for all images."""
    session = backend.open(model, target)
    starts = range(0, len(images), BATCH)
    found = [session.run({"image": images[start : start + BATCH]}) for start in starts]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def naive_losses(subject: Subject) -> dict[str, float]:
    """Return what of the float model's score is lost if everything is quantized, in percent.

    Static, ranges by minmax, no corrections; weights with a scale for each output channel or one
    for all. `_8_bits` is the float reference of 8-bit weights, as a processor with VNNI computes;
    the others are the INT8 models of this processor, whose weights have 7 bits where it has none.
    """
    backend = get_backend("onnxruntime")
    model = backend.load(subject.inputs.model)
    found = {}
    for suffix, cpu in (("", detect_cpu()), ("_8_bits", _with_vnni(detect_cpu()))):
        shapes = {name: array.shape for name, array in subject.batch.items()}
        tried = _Tried(subject, backend, model, Target(cpu=cpu, shapes=shapes))
        for name, per_channel in (("per_channel", True), ("per_tensor", False)):
            found[name + suffix] = tried.lost(per_channel=per_channel, real=not suffix)
    return found


def _with_vnni(cpu: Cpu) -> Cpu:
    return replace(cpu, instructions=cpu.instructions | {"avx_vnni"})


@dataclass(frozen=True)
class _Tried:
    subject: Subject
    backend: Backend
    model: Model
    target: Target

    def lost(self, *, per_channel: bool, real: bool) -> float:
        """Return the loss in percent, of the INT8 model or of its float reference."""
        graph = self.backend.graph(self.model, self.target)
        plan = initial_plan(graph, per_channel=per_channel).plan
        schemes = wanted_tensors(graph, [plan])
        statistics = Statistics(schemes)
        if schemes:
            self.backend.observe(self.model, self._calibration(), statistics, self.target)
        ranges = tied_ranges(statistics, graph.planned(plan), Recipe(), schemes)
        make = self.backend.build if real else self.backend.reference
        made = make(self.model, plan, ranges, self.target)
        fp32, int8 = self._score(self.model), self._score(made)
        return round(100 * (fp32 - int8) / fp32, 2)

    def _calibration(self) -> Iterator[Batch]:
        with np.load(self.subject.inputs.calibration) as file:
            images = file["image"]
        for start in range(0, len(images), BATCH):
            yield {"image": images[start : start + BATCH]}

    def _score(self, model: Model) -> float:
        found = outputs(self.backend, model, self.subject.images, self.target)
        return float(self.subject.scores(found).mean())
