"""Cost of calibration: Octavo's one pass against ONNX Runtime's calibrators, time and memory.

Every tool runs in a process of its own on the same network and samples; CPU seconds and peak memory
are the operating system's. Run: python -m benchmarks.calibration [--network resnet50 --samples 100]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from benchmarks.machine import describe_machine
from benchmarks.networks import NETWORKS
from octavo.arrays import Array

TOOLS = ("octavo", "ort-minmax", "ort-entropy", "ort-percentile")


def samples_of(count: int) -> Iterator[dict[str, Array]]:
    """Yield random images one by one, the same for every tool."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield {"image": rng.random((1, 3, 224, 224), np.float32)}


def run_octavo(path: Path, samples: int) -> int:
    """Observe every tensor that the first plan needs; return how many."""
    from octavo.backends.registry import get_backend
    from octavo.measure import Statistics, tied_ranges
    from octavo.plan import Recipe
    from octavo.search.initial import initial_plan, wanted_tensors
    from octavo.target import Target

    backend, target = get_backend("onnxruntime"), Target(threads=1)
    model = backend.load(path)
    graph = backend.graph(model, target)
    schemes = wanted_tensors(graph, [initial_plan(graph).plan])
    statistics = Statistics(schemes)
    backend.observe(model, samples_of(samples), statistics, target)
    return len(tied_ranges(statistics, graph, Recipe("entropy"), schemes))


def run_ort(path: Path, samples: int, method: str) -> int:
    """Run a calibrator of ONNX Runtime over all tensors; return how many."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
        def __init__(self) -> None:
            self.rest = samples_of(samples)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            path,
            calibrate_method=CalibrationMethod[method],
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
        )
        calibrator.collect_data(Reader())
        return len(calibrator.compute_data().data)


def one(tool: str, path: Path, samples: int) -> None:
    """Run one tool in this process and print its cost as JSON."""
    methods = {"ort-minmax": "MinMax", "ort-entropy": "Entropy", "ort-percentile": "Percentile"}
    begun = time.monotonic()
    if tool == "octavo":
        tensors = run_octavo(path, samples)
    else:
        tensors = run_ort(path, samples, methods[tool])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "tool": tool,
                "samples": samples,
                "tensors": tensors,
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
                "seconds": round(time.monotonic() - begun, 2),
                "peak_memory_mb": round(usage.ru_maxrss / 1000),
            }
        )
    )


def main() -> None:
    """Compare the tools, or run the one that `--tool` names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=["resnet50", "mobilenet_v2"], default="resnet50")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--tool", choices=TOOLS)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    if options.tool:
        one(options.tool, options.model, options.samples)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(NETWORKS[options.network](), path)
        for tool in TOOLS:
            command = [sys.executable, "-m", "benchmarks.calibration", "--tool", tool]
            command += ["--model", str(path), "--samples", str(options.samples)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(rows[-1]), flush=True)
    content = {"machine": describe_machine(), "network": options.network, "rows": rows}
    target = Path(__file__).parent / "results" / "calibration.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
