"""Speed of ONNX models at batch 1: FP32, Octavo's INT8 and ONNX Runtime's own quantizer.

Random weights at full size, or a model file; every pair of models is measured in turns by
`octavo.bench`, each in a pinned process of its own. Run: python -m benchmarks.onnx_speed [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.machine import describe_machine
from benchmarks.networks import NETWORKS
from octavo.arrays import Array
from octavo.backends.base import Backend
from octavo.backends.registry import get_backend
from octavo.bench import ModelRef, measure_pair
from octavo.measure import Statistics, tied_ranges
from octavo.model import Model, TensorSpec
from octavo.plan import Recipe
from octavo.search.initial import Approach, initial_plan, wanted_tensors
from octavo.target import Target

RESULTS = Path(__file__).parent / "results"
SCENES = Path(__file__).parent.parent / "examples" / "digits" / "scenes.onnx"


def random_inputs(specs: tuple[TensorSpec, ...], samples: int, seed: int = 0) -> dict[str, Array]:
    """Return arrays for a model's inputs: uniform images, word ids, masks of ones."""
    rng = np.random.default_rng(seed)

    def one(spec: TensorSpec) -> Array:
        shape = (samples, *spec.concrete()[1:])
        if "mask" in spec.name:
            return np.ones(shape, np.int64)
        if spec.dtype == "int64":
            return rng.integers(0, 1000, shape)
        return rng.random(shape, np.float32)

    return {spec.name: one(spec) for spec in specs}


def octavo_int8(backend: Backend, model: Model, approach: Approach, target: Target) -> Model:
    """Return Octavo's first plan, calibrated on eight random samples."""
    graph = backend.graph(model, target)
    plan = initial_plan(graph, approach=approach).plan
    schemes = wanted_tensors(graph, [plan])
    statistics = Statistics(schemes)
    if schemes:
        backend.observe(model, [random_inputs(model.inputs, 8)], statistics, target)
    ranges = tied_ranges(statistics, graph, Recipe(), schemes)
    return backend.build(model, plan, ranges, target)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
    def __init__(self, batch: dict[str, Array]) -> None:
        samples = len(next(iter(batch.values())))
        self._rest: Iterator[dict[str, Array]] = iter(
            [{name: array[i : i + 1] for name, array in batch.items()} for i in range(samples)]
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self._rest, None)


def stock_int8(model: Model, path: Path, approach: Approach, folder: Path) -> Path:
    """Return what ONNX Runtime's quantizer writes in the setting that is fastest on x86."""
    folder.mkdir()
    prepared, written = folder / "prepared.onnx", folder / "model.onnx"
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    if approach == "dynamic":
        quantize_dynamic(prepared, written, weight_type=QuantType.QInt8, per_channel=True)
    else:
        quantize_static(
            prepared,
            written,
            _Reader(random_inputs(model.inputs, 8)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    prepared.unlink()
    return folder


def compare(name: str, approach: Approach, threads: int, seconds: float) -> dict[str, object]:
    """Measure one network; return a JSON-ready row."""
    backend = get_backend("onnxruntime")
    target = Target(threads=threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for part in ("fp32", "octavo"):
            (folder / part).mkdir()
        path = folder / "fp32" / "model.onnx"
        onnx.save(NETWORKS[name]() if name in NETWORKS else onnx.load(SCENES), path)
        model = backend.load(path)
        backend.save(octavo_int8(backend, model, approach, target), folder / "octavo")
        stock_int8(model, path, approach, folder / "stock")
        refs = {
            label: ModelRef("onnxruntime", folder / label, label)
            for label in ("fp32", "octavo", "stock")
        }
        batch = random_inputs(model.inputs, 1)
        row: dict[str, object] = {"network": name, "approach": approach, "threads": threads}
        for key, first, second in (
            ("over_fp32", "fp32", "octavo"),
            ("over_stock", "stock", "octavo"),
        ):
            pair = measure_pair(refs[first], refs[second], batch, target, seconds=seconds)
            row[key] = {
                "ratio": pair.ratio,
                "ci95": pair.ratio_ci95,
                "ms": {m.label: m.latency.p50 for m in (pair.baseline, pair.candidate)},
                "noisy": pair.noisy,
            }
        return row


def main() -> None:
    """Measure the networks named on the command line, or all, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=["scenes", *NETWORKS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    rows = []
    for name in options.networks:
        for approach in ("static", "dynamic") if name.startswith("bert") else ("static",):
            row = compare(name, approach, options.threads, options.seconds)
            rows.append(row)
            print(json.dumps(row), flush=True)
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": describe_machine(), "rows": rows}
    target = RESULTS / f"onnx_speed_{options.threads}t.json"
    target.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
