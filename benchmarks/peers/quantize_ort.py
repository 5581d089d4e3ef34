"""ONNX Runtime's own `quantize_static` and `quantize_dynamic`, after its own preprocessing.

Activations are U8 and weights S8: on x86 its other types run up to 25 times slower. Its
documentation asks for `reduce_range` where there is no VNNI.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.task import Reader, Task, run, saturates

LINEAR = ["Conv", "Gemm", "MatMul"]


def prepare(task: Task, folder: Path) -> Path:
    prepared = folder / "prepared.onnx"
    quant_pre_process(str(task.model), str(prepared), skip_symbolic_shape=True)
    return prepared


def static(
    task: Task, folder: Path, per_channel: bool, kinds: list[str] | None, float_outputs: list[str]
) -> None:
    prepared = prepare(task, folder)
    quantize_static(
        prepared,
        folder / "model.onnx",
        Reader(task.samples),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
        reduce_range=saturates(),
        op_types_to_quantize=kinds,
        extra_options={"OpTypesToExcludeOutputQuantization": float_outputs},
    )
    prepared.unlink()


def dynamic(task: Task, folder: Path, per_channel: bool) -> None:
    prepared = prepare(task, folder)
    quantize_dynamic(
        prepared,
        folder / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
        reduce_range=saturates(),
    )
    prepared.unlink()


STATIC = {
    "per channel": partial(static, per_channel=True, kinds=None, float_outputs=[]),
    "per tensor": partial(static, per_channel=False, kinds=None, float_outputs=[]),
    "linear operators": partial(static, per_channel=True, kinds=LINEAR, float_outputs=[]),
    "products with float outputs": partial(
        static, per_channel=True, kinds=LINEAR, float_outputs=["MatMul", "Gemm"]
    ),
}
DYNAMIC = {
    "per channel": partial(dynamic, per_channel=True),
    "per tensor": partial(dynamic, per_channel=False),
}

if __name__ == "__main__":
    run({"static": STATIC, "dynamic": DYNAMIC})
