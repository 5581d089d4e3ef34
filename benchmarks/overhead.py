"""What Octavo adds to one call of a model, against a bare loop around the framework's call.

Run it with `python benchmarks/overhead.py`; it fails where the limit is not kept.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from octavo.backends.registry import get_backend
from octavo.bench.loop import time_calls
from octavo.target import Target

LIMIT_MICROSECONDS = 20.0
CALLS = 2000
ROUNDS = 20


def write_small_model(path: Path) -> None:
    """Write a model that takes a few microseconds, so that what is around it shows."""
    make = onnx.helper
    shape = [1, 64]
    ends = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    node = make.make_node("Relu", ["x"], ["y"], name="relu")
    graph = make.make_graph([node], "small", ends[:1], ends[1:])
    opset = [make.make_opsetid("", 17)]
    onnx.save(make.make_model(graph, opset_imports=opset, ir_version=9), path)


def bare_session(path: Path) -> ort.InferenceSession:
    """Open a file as a user of ONNX Runtime would, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def microseconds(block: Callable[[], object]) -> float:
    """Return the time of one call in a block of `CALLS`."""
    started = time.perf_counter()
    block()
    return (time.perf_counter() - started) / CALLS * 1e6


def main() -> int:
    """Print the times of one call and what is added; return the exit status."""
    batch = {"x": np.ones((1, 64), np.float32)}
    backend = get_backend("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.onnx"
        write_small_model(path)
        ours = backend.open(backend.load(path), Target(threads=1))
        theirs = bare_session(path)

    def measured() -> None:
        time_calls(ours.run, batch, iterations=CALLS)

    def session_only() -> None:
        for _ in range(CALLS):
            ours.run(batch)

    def bare() -> None:
        for _ in range(CALLS):
            theirs.run(None, batch)

    blocks = (bare, session_only, measured)
    rounds = [[microseconds(block) for block in blocks] for _ in range(ROUNDS)]
    call, session, total = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"bare call of ONNX Runtime   {call:6.2f} us")
    print(f"added by our session        {session - call:6.2f} us")
    print(f"added by the measuring loop {total - session:6.2f} us")
    print(f"added in all                {total - call:6.2f} us (limit {LIMIT_MICROSECONDS:g} us)")
    return int(total - call >= LIMIT_MICROSECONDS)


if __name__ == "__main__":
    sys.exit(main())
