"""Everything that is measured of one network in one approach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import onnx_models, speed_results
from benchmarks.inputs import random_inputs
from benchmarks.peer_models import PEERS, Inputs, Made, quantize, reference
from octavo.arrays import Array, Batch
from octavo.backends.base import Backend
from octavo.bench import ModelRef, PairResult, measure_pair
from octavo.bench.side import write_batch
from octavo.errors import OctavoError
from octavo.model import Model
from octavo.search.initial import Approach
from octavo.target import Target

PICKING = 0.1
"""The share of the time of a measurement that each setting of a peer gets to be chosen."""


ERROR_LENGTH = 300
"""Characters; some packages print the whole graph."""


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        target: the threads.
        seconds: for each pair of models.
        tries: how often a pair is measured at most, while other processes disturb it.
        peers: whom Octavo is compared with.
        environments: where they are installed.
    """

    target: Target
    seconds: float
    tries: int
    peers: tuple[str, ...]
    environments: Path


@dataclass(frozen=True)
class Subject:
    """A network to be quantized.

    Attributes:
        name: its name.
        folder: for all its forms.
        backend: ONNX Runtime's.
        model: the float model.
        inputs: the files that peers read.
        batch: what is measured on.
        calibration: what ranges come from.
        evaluation: what SQNR is computed on.
        expected: the float model's outputs for it.
    """

    name: str
    folder: Path
    backend: Backend
    model: Model
    inputs: Inputs
    batch: Batch
    calibration: Batch
    evaluation: Batch
    expected: Sequence[Array]

    @property
    def approaches(self) -> tuple[Approach, ...]:
        """Both approaches for text, static alone for images."""
        words = any(spec.dtype == "int64" for spec in self.model.inputs)
        return ("static", "dynamic") if words else ("static",)


def prepare(name: str, folder: Path, target: Target) -> Subject:
    """Write a network and its data into a folder of its own."""
    place = folder / name
    inputs = Inputs(
        place / "fp32" / "model.onnx", place / "calibration.npz", place / "evaluation.npz"
    )
    inputs.model.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(onnx_models.network(name), inputs.model)
    backend, model = onnx_models.load(inputs.model)
    calibration = onnx_models.data(name, model, "calibration")
    evaluation = onnx_models.data(name, model, "evaluation")
    write_batch(inputs.calibration, calibration)
    write_batch(inputs.evaluation, evaluation)
    return Subject(
        name=name,
        folder=place,
        backend=backend,
        model=model,
        inputs=inputs,
        batch=random_inputs(model.inputs, 1, seed=2),
        calibration=calibration,
        evaluation=evaluation,
        expected=onnx_models.run_all(backend, model, evaluation, target),
    )


class Comparison:
    """Measures one approach to a network."""

    def __init__(self, subject: Subject, approach: Approach, options: Options) -> None:
        """Nothing is made before `row`."""
        self.subject = subject
        self.approach = approach
        self.options = options
        self.refs = {"fp32": ModelRef("onnxruntime", subject.inputs.model.parent, "fp32")}

    def row(self) -> dict[str, Any]:
        """Return a JSON-ready row."""
        it, target = self.subject, self.options.target
        made = onnx_models.octavo_int8(it.backend, it.model, self.approach, it.calibration, target)
        self.store("octavo", made.model)
        self.store("mended", onnx_models.mended(it.model))
        audits = it.backend.audit(it.model, made.chosen.plan, made.model, it.batch, target)
        row: dict[str, Any] = {
            "network": it.name,
            "approach": self.approach,
            "threads": target.threads,
            "int8_share": onnx_models.int8_share(made, audits),
            "sqnr_db": {"octavo": self.sqnr(made.model)},
        }
        for key in ("fp32", "mended"):
            row[f"over_{key}"] = self.pair(self.refs[key])
        row.update(speed_results.figure(it.name, target.threads, row["over_fp32"]))
        for name in self.options.peers:
            self.against(name, row)
        return row

    def store(self, label: str, model: Model) -> None:
        """Save a model to be measured under a label."""
        threads = self.options.target.threads
        folder = self.subject.folder / f"{self.approach}-{threads}t" / label
        folder.mkdir(parents=True, exist_ok=True)
        self.subject.backend.save(model, folder)
        self.refs[label] = ModelRef("onnxruntime", folder, label)

    def sqnr(self, model: Model) -> list[float | None]:
        """Return the SQNR of a model's outputs."""
        it = self.subject
        got = onnx_models.run_all(it.backend, model, it.evaluation, self.options.target)
        return onnx_models.sqnr_db(it.expected, got)

    def measure(self, other: ModelRef, seconds: float) -> PairResult:
        """Measure a model and Octavo's in turns."""
        return measure_pair(
            other, self.refs["octavo"], self.subject.batch, self.options.target, seconds=seconds
        )

    def pair(self, other: ModelRef) -> dict[str, Any]:
        """Return a measurement for all of the time, JSON-ready."""
        return measured(other, self.refs["octavo"], self.subject.batch, self.options)

    def against(self, name: str, row: dict[str, Any]) -> None:
        """Compare with a peer and put what is found into the row."""
        peer = PEERS[name]
        approach = peer.approach(self.approach)
        folder = self.subject.folder / name / approach
        environments = self.options.environments
        made = quantize(peer, approach, self.subject.inputs, folder, environments)
        tried = [self.attempt(name, one) for one in made]
        row.setdefault("tried", {})[name] = tried
        best = min((t for t in tried if "ratio" in t), key=lambda t: t["ratio"], default=None)
        if best is None:
            row[f"over_{name}"] = {"failed": tried[0]["error"] if tried else "it made nothing"}
            return
        chosen = next(one for one in made if one.setting == best["setting"])
        self.finals(name, chosen, own="runtime" in best, row=row)

    def attempt(self, name: str, made: Made) -> dict[str, Any]:
        """Measure a peer's model for a short time; in its own environment where ours refuses it."""
        found: dict[str, Any] = {"setting": made.setting, "quantizing_seconds": made.seconds}
        if made.error:
            return {**found, "error": made.error}
        for own in (False, True):
            ref = reference(name, made, self.options.environments, own=own)
            try:
                result = self.measure(ref, max(1.0, self.options.seconds * PICKING))
            except OctavoError as error:
                found["error" if own else "refused"] = self.told(error)
                continue
            where = {"runtime": f"that of {PEERS[name].environment}"} if own else {}
            return {**found, **where, "ratio": round(result.ratio, 3)}
        return found

    def finals(self, name: str, made: Made, *, own: bool, row: dict[str, Any]) -> None:
        """Measure a peer's best model for all of the time."""
        environments = self.options.environments
        result = self.pair(reference(name, made, environments, own=own))
        row[f"over_{name}"] = {**result, "setting": made.setting}
        if own:
            row[f"over_{name}"]["runtime"] = f"that of {PEERS[name].environment}"
        row["sqnr_db"][name] = self.peer_sqnr(made)
        if PEERS[name].runtime != "openvino":
            row[f"over_{name}"]["parity"] = speed_results.reaches(result, speed_results.PARITY)
            return
        faster = reference(name, made, environments, precision="bf16")
        row[f"over_{name}_bf16"] = {**self.pair(faster), "setting": made.setting}

    def told(self, error: Exception) -> str:
        """Return the beginning of an error's message, without the folder of the models."""
        return str(error).replace(f"{self.subject.folder.parent}/", "")[:ERROR_LENGTH]

    def peer_sqnr(self, made: Made) -> list[float | None] | str:
        """Return the SQNR of a peer's model, from outputs that it wrote where only it runs it."""
        outputs = made.folder / "outputs.npz"
        if outputs.is_file():
            with np.load(outputs) as file:
                return onnx_models.sqnr_db(
                    self.subject.expected, [file[name] for name in file.files]
                )
        try:
            return self.sqnr(self.subject.backend.load(made.folder / "model.onnx"))
        except OctavoError as error:
            return self.told(error)


def measured(
    baseline: ModelRef, candidate: ModelRef, batch: Batch, options: Options
) -> dict[str, Any]:
    """Measure two models in turns for all of the time; JSON-ready.

    Where every try is disturbed, the one with the narrowest interval stands.
    """
    results: list[PairResult] = []
    while len(results) < options.tries:
        seconds = options.seconds
        results.append(measure_pair(baseline, candidate, batch, options.target, seconds=seconds))
        if not results[-1].noisy:
            return speed_results.entry(results[-1])
    return speed_results.entry(min(results, key=_width))


def _width(result: PairResult) -> float:
    low, high = result.ratio_ci95
    return (high - low) / result.ratio
