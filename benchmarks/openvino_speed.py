"""OpenVINO as a second runtime at batch 1: what runs there, in which precision, and how fast.

Octavo's INT8 model in OpenVINO is measured in turns with FP32 in OpenVINO, with OpenVINO's default
precision, with NNCF's model, and with Octavo's INT8 model in ONNX Runtime; and the artifact that
was made for ONNX Runtime is measured in both runtimes.

    python -m benchmarks.openvino_speed [NAME ...] [--threads 1] [--seconds 20] [--work DIR]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import onnx_models, speed_results
from benchmarks.comparison import Options, Subject, measured, prepare
from benchmarks.onnx_speed import say
from benchmarks.peer_models import ENVIRONMENTS, PEERS, quantize, reference
from octavo.backends.base import Backend
from octavo.backends.registry import get_backend
from octavo.bench import ModelRef
from octavo.model import Model
from octavo.target import Target

NETWORKS = ("scenes", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "bert_base")
OUTPUT = speed_results.RESULTS / "openvino.json"


class Comparison:
    """Measures one network."""

    def __init__(self, subject: Subject, options: Options) -> None:
        """Nothing is made before `row`."""
        self.subject = subject
        self.options = options
        self.backend: Backend = get_backend("openvino")
        self.model = self.backend.load(subject.inputs.model)

    def row(self) -> dict[str, Any]:
        """Return a JSON-ready row."""
        it, target = self.subject, self.options.target
        made = self.quantized(self.backend, self.model)
        ours = self.store(self.backend, made.model, "octavo")
        audits = self.backend.audit(self.model, made.chosen.plan, made.model, it.batch, target)
        row: dict[str, Any] = {
            "network": it.name,
            "approach": "static",
            "threads": target.threads,
            "groups_executed": Counter(audit.executed for audit in audits),
            "int8_share": onnx_models.int8_share(made, audits),
            "sqnr_db": {"octavo": self.sqnr(self.backend, made.model)},
        }
        for name, baseline in self.backend.baselines(self.model, target).items():
            key = "fp32" if baseline.label == "" else "default"
            other = self.store(self.backend, baseline, f"fp32-{name}")
            row[f"over_{key}"] = {**self.pair(other, ours), "precision": baseline.label or "f32"}
        self.against_onnxruntime(ours, row)
        if "openvino" in self.options.peers:
            self.against_nncf(ours, row)
        return row

    def against_onnxruntime(self, ours: ModelRef, row: dict[str, Any]) -> None:
        """Compare with Octavo's model in ONNX Runtime, and open that one in OpenVINO."""
        it = self.subject
        made = self.quantized(it.backend, it.model).model
        there = self.store(it.backend, made, "octavo-onnxruntime")
        row["sqnr_db"]["onnxruntime"] = self.sqnr(it.backend, made)
        row["over_onnxruntime"] = self.pair(there, ours)
        here = ModelRef(self.backend.name, there.folder, "octavo")
        row["same_artifact_over_onnxruntime"] = self.pair(there, here)

    def against_nncf(self, ours: ModelRef, row: dict[str, Any]) -> None:
        """Compare with NNCF's model in the setting that is fastest."""
        it, peer, environments = self.subject, PEERS["openvino"], self.options.environments
        made = quantize(peer, "static", it.inputs, it.folder / "openvino" / "static", environments)
        pairs = [
            {**self.pair(reference("openvino", one, environments), ours), "setting": one.setting}
            for one in made
            if not one.error
        ]
        if not pairs:
            row["over_openvino"] = {"failed": made[0].error}
            return
        best = min(pairs, key=lambda pair: pair["ratio"])
        row["over_openvino"] = {**best, "parity": speed_results.reaches(best, speed_results.PARITY)}

    def quantized(self, backend: Backend, model: Model) -> onnx_models.Quantized:
        """Return Octavo's static form for a runtime."""
        it, target = self.subject, self.options.target
        return onnx_models.octavo_int8(backend, model, "static", it.calibration, target)

    def store(self, backend: Backend, model: Model, label: str) -> ModelRef:
        """Save a model to be measured."""
        folder = self.subject.folder / f"runtimes-{self.options.target.threads}t" / label
        folder.mkdir(parents=True, exist_ok=True)
        backend.save(model, folder)
        return ModelRef(backend.name, folder, label)

    def pair(self, other: ModelRef, ours: ModelRef) -> dict[str, Any]:
        """Return a measurement for all of the time, JSON-ready."""
        return measured(other, ours, self.subject.batch, self.options)

    def sqnr(self, backend: Backend, model: Model) -> list[float | None]:
        """Return the SQNR of a model's outputs."""
        it = self.subject
        got = onnx_models.run_all(backend, model, it.evaluation, self.options.target)
        return onnx_models.sqnr_db(it.expected, got)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each pair of models")
    parser.add_argument("--tries", type=int, default=2, help="for a pair while it is disturbed")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="of the peers")
    parser.add_argument("--work", type=Path, help="keep the models here, to be used again")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if unknown := sorted(set(options.networks) - set(onnx_models.names())):
        parser.error(f"no network {', '.join(unknown)}")
    return options


def main() -> None:
    """Measure and write the rows one by one."""
    given = parse()
    nncf = PEERS["openvino"].python(given.environments).exists()
    options = Options(
        target=Target(threads=given.threads),
        seconds=given.seconds,
        tries=given.tries,
        peers=("openvino",) if nncf else (),
        environments=given.environments,
    )
    with tempfile.TemporaryDirectory(prefix="octavo-openvino-") as place:
        folder = (given.work or Path(place)).resolve()
        for name in given.networks or NETWORKS:
            say(f"{name} in OpenVINO, threads: {given.threads}")
            row = Comparison(prepare(name, folder, options.target), options).row()
            speed_results.store(given.output, row)
            print(json.dumps(row), flush=True)
            say(speed_results.summary(row))


if __name__ == "__main__":
    main()
