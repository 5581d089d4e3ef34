"""onnx-neural-compressor 1.0: its formats, each behind three levels of ONNX Runtime's optimizer.

The level `none` is for networks with HardSwish: the optimizer takes it apart into nodes without
names, on which the package fails.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import onnxruntime as ort
from onnx_neural_compressor.quantization import QuantFormat, config, quantize

from benchmarks.peers.task import Reader, Task, run

LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}


def static(task: Task, folder: Path, level: str, form: QuantFormat, per_channel: bool) -> None:
    wanted = config.StaticQuantConfig(
        calibration_data_reader=Reader(task.samples),
        quant_format=form,
        per_channel=per_channel,
        calibration_sampling_size=len(task.samples),
        execution_provider="CPUExecutionProvider",
    )
    write(task, folder, wanted, level)


def dynamic(task: Task, folder: Path, level: str, per_channel: bool) -> None:
    wanted = config.DynamicQuantConfig(
        per_channel=per_channel, execution_provider="CPUExecutionProvider"
    )
    write(task, folder, wanted, level)


def write(task: Task, folder: Path, wanted: config.BaseConfig, level: str) -> None:
    quantize(str(task.model), str(folder / "model.onnx"), wanted, LEVELS[level])


STATIC = {
    f"{form.name} {level}": partial(static, level=level, form=form, per_channel=True)
    for form in (QuantFormat.QDQ, QuantFormat.QOperator)
    for level in LEVELS
}
STATIC["QDQ basic per tensor"] = partial(
    static, level="basic", form=QuantFormat.QDQ, per_channel=False
)
DYNAMIC = {
    level: partial(dynamic, level=level, per_channel=True) for level in ("basic", "extended")
}
DYNAMIC["basic per tensor"] = partial(dynamic, level="basic", per_channel=False)

if __name__ == "__main__":
    run({"static": STATIC, "dynamic": DYNAMIC})
