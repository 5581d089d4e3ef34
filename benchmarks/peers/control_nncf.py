"""NNCF's accuracy control on OpenVINO's form of a model, and what its search costs.

Every sample that NNCF's search lets a model run on labelled data goes through one function here and
is counted, those of the float model apart. `counts.json` beside the model says how many they were;
`outputs.npz` holds the outputs of the result for all evaluation samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov

from benchmarks.metrics import METRICS, Outputs
from benchmarks.peers.task import Batch, Task, run, single

FILE = "model.xml"
LABEL = "label"
DROP = 0.01
"""The accepted loss, relative."""


class Validation:
    """Scores a compiled model, and counts the samples; the first model it gets is the float one."""

    def __init__(self, metric: str) -> None:
        self._metric = METRICS[metric]
        self._float_model: Any = None
        self.counts = {"float": 0, "int8": 0}
        self.calls = 0

    def __call__(self, model: Any, items: Iterable[Batch]) -> tuple[float, list[float]]:
        """Return the mean score and that of each sample."""
        if self._float_model is None:
            self._float_model = model
        scores = [self._score(model, item) for item in items]
        self.counts["float" if model is self._float_model else "int8"] += len(scores)
        self.calls += 1
        return float(np.mean(scores)), scores

    def _score(self, model: Any, item: Batch) -> float:
        inputs = {name: array for name, array in item.items() if name != LABEL}
        return float(self._metric(named(model(inputs)), item[LABEL])[0])


def named(results: Any) -> Outputs:
    """Return OpenVINO's results by the name of the output."""
    return {port.get_any_name(): array for port, array in results.items()}


def quantize(task: Task, folder: Path, metric: str, kind: nncf.ModelType | None) -> None:
    """Quantize until at most 1 % is lost, and write the model, its outputs and the counts."""
    validation = Validation(metric)
    items = list(single(task.evaluation))
    made = nncf.quantize_with_accuracy_control(
        ov.convert_model(task.model),
        nncf.Dataset(list(task.samples)),
        nncf.Dataset(items),
        validation,
        max_drop=DROP,
        drop_type=nncf.DropType.RELATIVE,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(task.samples),
        model_type=kind,
    )
    ov.save_model(made, folder / FILE, compress_to_fp16=False)
    compiled = ov.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = [{name: a for name, a in item.items() if name != LABEL} for item in items]
    outputs = [named(compiled(sample)) for sample in inputs]
    np.savez(
        folder / "outputs.npz",
        **{name: np.concatenate([one[name] for one in outputs]) for name in outputs[0]},
    )
    found = {"samples": validation.counts, "calls": validation.calls}
    (folder / "counts.json").write_text(json.dumps(found))


if __name__ == "__main__":
    run(
        {
            f"{name}-{metric}": {"accuracy control": partial(quantize, metric=metric, kind=kind)}
            for name, kind in (("convolution", None), ("attention", nncf.ModelType.TRANSFORMER))
            for metric in METRICS
        }
    )
