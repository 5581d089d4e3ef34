"""`octavo.bench.worker` for runtimes in environments of their own, where Octavo is not installed.

It speaks the same protocol and is pinned in the same way. Run with the options of that module and
`--runtime openvino|onnxruntime --precision f32|bf16` before them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from octavo.bench import worker


class Caller:
    """A session that calls a function; what the function returns is not looked at."""

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self.run = run


def open_openvino(folder: Path, batch: dict[str, Any], threads: int, precision: str) -> Caller:
    """Compile `model.xml` for one stream at the least latency, for the shapes of the batch."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(folder / "model.xml")
    model.reshape({name: list(array.shape) for name, array in batch.items()})
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # the process is pinned as a whole
    }
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return Caller(lambda given: request.infer(given, share_inputs=True, share_outputs=True))


def open_onnxruntime(folder: Path, batch: dict[str, Any], threads: int, precision: str) -> Caller:
    """Open `model.onnx` as Octavo's own worker does, in the version that this environment has."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    path = str(folder / "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Caller(lambda given: session.run(None, given))


RUNTIMES = {"openvino": open_openvino, "onnxruntime": open_onnxruntime}


def main() -> int:
    """Serve until the input ends; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--runtime", choices=list(RUNTIMES), required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    ours, theirs = parser.parse_known_args()
    sys.argv[1:] = theirs

    def opener(arguments: argparse.Namespace) -> tuple[Any, Any]:
        from benchmarks.peers.task import read_batch  # numpy only after the process is pinned

        batch = read_batch(arguments.inputs)
        runtime = RUNTIMES[ours.runtime]
        return runtime(arguments.folder, batch, len(arguments.cores), ours.precision), batch

    return worker.main(opener)


if __name__ == "__main__":
    sys.exit(main())
