"""The tools that Octavo is compared with, each in an environment of its own.

Models cross as files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from octavo.bench import ModelRef
from octavo.target import detect_cpu

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / ".venv-peers"
SECONDS = 3600


@dataclass(frozen=True)
class Peer:
    """A tool that quantizes ONNX models.

    Attributes:
        module: the script that runs it.
        title: what tables call it.
        environment: the folder of its environment, as `make peers` names it; None for our own.
        runtime: what runs its models: `onnxruntime`, ours where it takes them, or `openvino`.
        approaches: what it has; the first one stands in for one that it lacks.
    """

    module: str
    title: str
    environment: str | None = None
    runtime: str = "onnxruntime"
    approaches: tuple[str, ...] = ("static", "dynamic")

    def python(self, environments: Path) -> Path:
        """Return the interpreter that has it."""
        if self.environment is None:
            return Path(sys.executable)
        return environments / self.environment / "bin" / "python"

    def approach(self, wanted: str) -> str:
        """Return the approach that is compared with Octavo's."""
        return wanted if wanted in self.approaches else self.approaches[0]


PEERS = {
    "stock": Peer("quantize_ort", "ONNX Runtime's quantizer"),
    "neural_compressor": Peer("quantize_nc", "Neural Compressor 2.6", "neural-compressor"),
    "onnx_neural_compressor": Peer(
        "quantize_onc", "onnx-neural-compressor", "onnx-neural-compressor"
    ),
    "openvino": Peer("quantize_nncf", "OpenVINO + NNCF", "openvino", "openvino", ("static",)),
}


@dataclass(frozen=True)
class Inputs:
    """The files that every peer reads.

    Attributes:
        model: the float ONNX file.
        calibration: `.npz` with calibration data by input name.
        evaluation: `.npz` with one batch.
    """

    model: Path
    calibration: Path
    evaluation: Path


@dataclass(frozen=True)
class Made:
    """What a peer made in one of its settings.

    Attributes:
        setting: its name.
        folder: holds the model.
        seconds: what it took.
        error: why there is no model; None where there is one.
    """

    setting: str
    folder: Path
    seconds: float
    error: str | None = None


def quantize(
    peer: Peer, approach: str, inputs: Inputs, folder: Path, environments: Path
) -> list[Made]:
    """Let a peer quantize a model in all its settings; what it made before is used again.

    Args:
        peer: the tool.
        approach: `static` or `dynamic`.
        inputs: the model and data.
        folder: for the results, kept between runs or not.
        environments: what `make peers` made.
    """
    record, key = folder / "made.json", _key(peer, approach, inputs)
    if record.is_file() and (known := json.loads(record.read_text()))["key"] == key:
        return [Made(**{**made, "folder": Path(made["folder"])}) for made in known["made"]]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    results = _run(peer, approach, inputs, folder, environments)
    rows = [{**asdict(made), "folder": str(made.folder)} for made in results]
    record.write_text(json.dumps({"key": key, "made": rows}, indent=1))
    return results


def _key(peer: Peer, approach: str, inputs: Inputs) -> str:
    """Return a hash over all that decides what a peer makes."""
    place = Path(__file__).parent / "peers"
    files = [inputs.model, inputs.calibration, inputs.evaluation]
    files += [place / "task.py", place / f"{peer.module}.py"]
    files += [place / f"{peer.environment}.txt"] if peer.environment else []
    digest = hashlib.sha256(f"{approach} {detect_cpu().saturates}".encode())
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _run(peer: Peer, approach: str, inputs: Inputs, folder: Path, environments: Path) -> list[Made]:
    command = [str(peer.python(environments)), "-P", "-m", f"benchmarks.peers.{peer.module}"]
    command += ["--model", str(inputs.model), "--calibration", str(inputs.calibration)]
    command += ["--evaluation", str(inputs.evaluation), "--approach", approach]
    log = folder / "log.txt"
    # Neural Compressor leaves a copy of the model in the current folder.
    with log.open("w") as errors, tempfile.TemporaryDirectory(dir=folder) as current:
        done = subprocess.run(
            [*command, "--out", str(folder)],
            cwd=current,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    made = [_made(json.loads(line), folder) for line in done.stdout.splitlines()]
    if done.returncode:
        words = log.read_text().strip().splitlines() or ["it printed nothing"]
        made.append(Made("all", folder, 0.0, f"status {done.returncode}: {words[-1]}"))
    return made


def _made(answer: dict[str, object], folder: Path) -> Made:
    name = str(answer["setting"])
    return Made(name, folder / name, round(float(str(answer["seconds"])), 1), answer.get("error"))


def reference(
    name: str, made: Made, environments: Path, *, own: bool = False, precision: str = "f32"
) -> ModelRef:
    """Return what a benchmark runs.

    Args:
        name: of the tool.
        made: its model.
        environments: what `make peers` made.
        own: run it in the peer's own environment, where our ONNX Runtime does not take it.
        precision: of what is not INT8, for OpenVINO.
    """
    peer = PEERS[name]
    if peer.runtime == "onnxruntime" and not own:
        return ModelRef("onnxruntime", made.folder, name)
    program = (str(peer.python(environments)), "-P", "-m", "benchmarks.peers.worker")
    options = ("--runtime", peer.runtime, "--precision", precision)
    return ModelRef(peer.runtime, made.folder, name, program=(*program, *options))
