"""Cost of calibration: Octavo's one pass against ONNX Runtime's calibrators, CPU time and memory.

Every tool runs in a process of its own, in turns (A B C, C B A, ...), on the same model and the
same samples. CPU seconds and peak memory are those of the whole process: imports, loading the
model, the pass, and the ranges. `forward` runs the FP32 model and looks at nothing: a pass that
computes every value in FP32 cannot take less. Run: python -m benchmarks.calibration [NETWORK ...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from octavo.arrays import Array

if TYPE_CHECKING:  # what only our own tool needs is not imported into the others' processes
    from octavo.data.base import LabelledBatch

Row: TypeAlias = dict[str, Any]
RESULTS = Path(__file__).parent / "results" / "calibration.json"


@dataclass(frozen=True)
class Task:
    """What is measured of one network.

    Attributes:
        samples: of the comparison.
        repeats: processes of each tool; even, so that each tool comes early as often as late.
        more: a larger number of samples that must not take more memory; None leaves it out.
        few: numbers of samples for the calibrators of ONNX Runtime that keep every tensor.
    """

    samples: int
    repeats: int = 4
    more: int | None = None
    few: tuple[int, int] | None = None


TASKS = {
    "resnet50": Task(300, more=1000, few=(10, 20)),
    "mobilenet_v2": Task(300),
    "bert_base": Task(50),
}
IN_TURN = ("octavo", "ort-minmax", "forward", "octavo-all-cores", "ort-minmax-as-shipped")
RATIOS = (
    ("octavo", "ort-minmax"),
    ("forward", "ort-minmax"),
    ("octavo", "forward"),
    ("octavo-all-cores", "ort-minmax-as-shipped"),
    ("octavo", "ort-minmax-as-shipped"),
)


def samples_of(network: str, count: int) -> Iterator[dict[str, Array]]:
    """Yield random inputs one by one, the same for every tool."""
    rng = np.random.default_rng(0)
    mask = np.ones((1, 128), np.int64)
    for _ in range(count):
        if network == "bert_base":
            yield {"input_ids": rng.integers(0, 30522, (1, 128)), "attention_mask": mask}
        else:
            yield {"image": rng.random((1, 3, 224, 224), np.float32)}


@dataclass(frozen=True)
class Drawn:
    """The samples as a source of a data set, made when they are read."""

    name: str
    size: int

    def chunks(self) -> Iterator[LabelledBatch]:
        """Yield them one by one."""
        from octavo.data.base import LabelledBatch

        return (LabelledBatch(inputs, None) for inputs in samples_of(self.name, self.size))


def run_octavo(network: str, path: Path, samples: int) -> int:
    """Calibrate as `octavo quantize` does, on the cores this process may use."""
    from octavo.backends.registry import get_backend
    from octavo.data.checked import CheckedDataset
    from octavo.plan import Recipe
    from octavo.search.initial import initial_plan, wanted_tensors
    from octavo.workflow.calibrate import calibrate, plan_ranges
    from octavo.workflow.reporter import LogReporter
    from octavo.workflow.setting import describe

    backend = get_backend("onnxruntime")
    setting = describe(backend, backend.load(path), 1, next(samples_of(network, 1)))
    plan = initial_plan(setting.graph).plan
    schemes = wanted_tensors(setting.graph, [plan])
    data = CheckedDataset(Drawn(network, samples), labelled=False)
    statistics = calibrate(setting, data, schemes, 32, LogReporter())
    for method in ("minmax", "percentile", "mse"):
        chosen = replace(plan, recipe=Recipe(method))
        ranges = plan_ranges(statistics, setting.graph, chosen, schemes)
    return len(ranges)


def run_minmax(network: str, path: Path, samples: int, threads: int) -> int:
    """Run ONNX Runtime's calibrator of extremes; 0 threads: as many as it takes by itself."""
    import onnxruntime as ort
    from onnxruntime.quantization.calibrate import MinMaxCalibrater

    class Calibrator(MinMaxCalibrater):  # type: ignore[misc]  # untyped base class
        def create_inference_session(self) -> None:
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.intra_op_num_threads = threads
            self.infer_session = ort.InferenceSession(
                self.augmented_model_path, options, providers=self.execution_providers
            )

    with tempfile.TemporaryDirectory() as folder:
        calibrator = Calibrator(path, augmented_model_path=str(Path(folder) / "augmented.onnx"))
        calibrator.augment_graph()
        calibrator.create_inference_session()
        return _collect(calibrator, network, samples)


def run_histogram(network: str, path: Path, samples: int, method: str) -> int:
    """Run a calibrator of ONNX Runtime that needs histograms."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    with tempfile.TemporaryDirectory() as folder:
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(
            path, calibrate_method=CalibrationMethod[method], augmented_model_path=augmented
        )
        return _collect(calibrator, network, samples)


def _collect(calibrator: Any, network: str, samples: int) -> int:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
        def __init__(self) -> None:
            self.rest = samples_of(network, samples)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.rest, None)

    calibrator.collect_data(Reader())
    return len(calibrator.compute_data().data)


def run_forward(network: str, path: Path, samples: int) -> int:
    """Run the untouched model with all optimizations on one thread, and keep nothing."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for inputs in samples_of(network, samples):
        session.run(None, inputs)
    return 0


@dataclass(frozen=True)
class Tool:
    """A way to calibrate.

    Attributes:
        run: takes network, path and samples, and returns for how many tensors there are ranges.
        pinned: whether it gets one core, and so one thread.
    """

    run: Callable[[str, Path, int], int]
    pinned: bool = True


TOOLS = {
    "octavo": Tool(run_octavo),
    "octavo-all-cores": Tool(run_octavo, pinned=False),
    "ort-minmax": Tool(partial(run_minmax, threads=1)),
    "ort-minmax-as-shipped": Tool(partial(run_minmax, threads=0), pinned=False),
    "ort-entropy": Tool(partial(run_histogram, method="Entropy"), pinned=False),
    "ort-percentile": Tool(partial(run_histogram, method="Percentile"), pinned=False),
    "forward": Tool(run_forward),
}


def one(name: str, network: str, path: Path, samples: int) -> Row:
    """Run one tool in this process and return its cost."""
    tool, begun = TOOLS[name], time.monotonic()
    if tool.pinned:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tensors = tool.run(network, path, samples)
    return {
        "tool": name,
        "samples": samples,
        "tensors": tensors,
        "cpu_seconds": round(time.process_time(), 2),
        "seconds": round(time.monotonic() - begun, 2),
        "peak_memory_mb": round(_peak_bytes() / 1e6),
    }


def _peak_bytes() -> int:
    """Return the peak of this process alone; `ru_maxrss` remembers the parent's before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def spawn(tool: str, network: str, path: Path, samples: int) -> Row:
    """Run one tool in a process of its own and print its cost."""
    command = [sys.executable, "-m", "benchmarks.calibration", network, "--tool", tool]
    command += ["--model", str(path), "--samples", str(samples)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(row), flush=True)
    return row


def ratio(rows: Sequence[Row], ours: str, other: str) -> Row:
    """Return the CPU time of one tool over another's, from processes that ran side by side."""
    from octavo.bench.stats import Block, ratio_interval

    def blocks(tool: str) -> list[Block]:
        spent = [row["cpu_seconds"] for row in rows if row["tool"] == tool]
        return [Block(1, seconds) for seconds in spent]

    found = ratio_interval(
        blocks(ours), blocks(other)
    )  # of speeds, which is that of times inverted
    interval = [round(end, 3) for end in (found.low, found.high)]
    row = {"cpu_time_of": ours, "over": other, "ratio": round(found.value, 3), "ci95": interval}
    print(json.dumps(row), flush=True)
    return row


def extrapolated(rows: Sequence[Row], samples: int) -> Row:
    """Return the memory that a tool would need for `samples`, from two measured numbers of them."""
    few, more = rows
    slope = (more["peak_memory_mb"] - few["peak_memory_mb"]) / (more["samples"] - few["samples"])
    row = {
        "tool": few["tool"],
        "mb_per_sample": round(slope),
        f"extrapolated_peak_memory_mb_at_{samples}": round(
            more["peak_memory_mb"] + slope * (samples - more["samples"])
        ),
    }
    print(json.dumps(row), flush=True)
    return row


def measure(network: str, task: Task, path: Path) -> Row:
    """Measure one network; JSON-ready."""
    rows: list[Row] = []
    for turn in range(task.repeats):
        order = IN_TURN if turn % 2 == 0 else IN_TURN[::-1]
        rows += [spawn(tool, network, path, task.samples) for tool in order]
    content: Row = {"network": network, "ratios": [ratio(rows, *pair) for pair in RATIOS]}
    if task.more:
        rows.append(spawn("octavo", network, path, task.more))
    if task.few:
        content["extrapolated"] = []
        for tool in ("ort-entropy", "ort-percentile"):
            measured = [spawn(tool, network, path, samples) for samples in task.few]
            content["extrapolated"].append(extrapolated(measured, task.samples))
            rows += measured
    return {**content, "rows": rows}


def main() -> None:
    """Compare the tools, or run the one that `--tool` names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", choices=[*TASKS, []], default=list(TASKS))
    parser.add_argument("--tool", choices=TOOLS, help="run this one, in this process")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--samples", type=int)
    options = parser.parse_args()
    if options.tool:
        print(json.dumps(one(options.tool, options.networks[0], options.model, options.samples)))
        return
    import onnx

    from benchmarks.machine import describe_machine
    from benchmarks.networks import NETWORKS

    found = []
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(NETWORKS[network](), path)
            found.append(measure(network, TASKS[network], path))
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"machine": describe_machine(), "networks": found}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
