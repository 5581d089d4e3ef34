"""NNCF on OpenVINO's form of the model; the result is OpenVINO's own and runs nowhere else."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

from benchmarks.peers.task import Task, run, single

FILE = "model.xml"


def quantize(task: Task, folder: Path, preset: nncf.QuantizationPreset | None) -> None:
    model = ov.convert_model(task.model)
    words = any(port.get_element_type() == ov.Type.i64 for port in model.inputs)
    made = nncf.quantize(
        model,
        nncf.Dataset(list(task.samples)),
        preset=preset,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(task.samples),
        model_type=nncf.ModelType.TRANSFORMER if words else None,
    )
    ov.save_model(made, folder / FILE, compress_to_fp16=False)
    compiled = ov.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = [list(compiled(sample).values()) for sample in single(task.evaluation)]
    joined = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    np.savez(folder / "outputs.npz", *joined)


SETTINGS = {
    "performance": partial(quantize, preset=nncf.QuantizationPreset.PERFORMANCE),
    "mixed": partial(quantize, preset=nncf.QuantizationPreset.MIXED),
}

if __name__ == "__main__":
    run({"static": SETTINGS})
