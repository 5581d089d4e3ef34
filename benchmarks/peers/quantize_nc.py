"""Intel Neural Compressor 2.6: its formats, each behind two levels of ONNX Runtime's optimizer.

`extended` is what it chooses for text models by itself, `basic` for others; a measurement decides.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from neural_compressor import PostTrainingQuantConfig, quantization

from benchmarks.peers.task import Batch, Task, run

FLOAT_PAD = {"Pad": {"weight": {"dtype": ["fp32"]}, "activation": {"dtype": ["fp32"]}}}
"""The package writes graphs that are not valid where two Pads share their value (MobileBERT)."""


class Loader:
    """What the package takes for a data loader: pairs of inputs and a label that nobody reads."""

    batch_size = 1

    def __init__(self, samples: tuple[Batch, ...]) -> None:
        self._samples = samples

    def __iter__(self):
        return ((sample, 0) for sample in self._samples)


def quantize(
    task: Task,
    folder: Path,
    approach: str,
    level: str,
    op_types: dict[str, object] | None = None,
    **options: object,
) -> None:
    config = PostTrainingQuantConfig(
        approach=approach,
        calibration_sampling_size=[len(task.samples)],
        recipes={"graph_optimization_level": level},
        op_type_dict={**FLOAT_PAD, **(op_types or {})},
        **options,
    )
    made = quantization.fit(str(task.model), config, calib_dataloader=Loader(task.samples))
    if made is None:
        raise RuntimeError("the package gave no model")
    made.save(str(folder / "model.onnx"))


LEVELS = {"basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED"}
PER_TENSOR = {".*": {"weight": {"granularity": ["per_tensor"]}}}

STATIC = {
    f"{form} {level}": partial(quantize, approach="static", level=value, quant_format=form)
    for form in ("QDQ", "QOperator")
    for level, value in LEVELS.items()
}
STATIC["QDQ basic per tensor"] = partial(
    quantize, approach="static", level="ENABLE_BASIC", quant_format="QDQ", op_types=PER_TENSOR
)
DYNAMIC = {
    level: partial(quantize, approach="dynamic", level=value) for level, value in LEVELS.items()
}

if __name__ == "__main__":
    run({"static": STATIC, "dynamic": DYNAMIC})
