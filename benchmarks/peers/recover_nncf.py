"""NNCF on OpenVINO's form of a model, in every setting that is meant to recover accuracy.

`attention` tells NNCF that the model is a transformer, which adds SmoothQuant.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.advanced_parameters import (
    AdvancedQuantizationParameters,
    QuantizationParameters,
)

from benchmarks.peers.task import Setting, Task, run, single


def quantize(
    task: Task,
    folder: Path,
    preset: nncf.QuantizationPreset,
    fast: bool,
    advanced: AdvancedQuantizationParameters,
    kind: nncf.ModelType | None,
) -> None:
    """Quantize and write the outputs for all evaluation samples."""
    made = nncf.quantize(
        ov.convert_model(task.model),
        nncf.Dataset(list(task.samples)),
        preset=preset,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(task.samples),
        fast_bias_correction=fast,
        model_type=kind,
        advanced_parameters=advanced,
    )
    compiled = ov.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = [compiled(sample)[0] for sample in single(task.evaluation)]
    np.savez(folder / "outputs.npz", np.concatenate(outputs))


def settings(kind: nncf.ModelType | None, *, per_channel: bool) -> dict[str, Setting]:
    """Return the settings for a kind of model and of weight scales."""
    performance, mixed = nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED
    chosen = {
        "no correction": (performance, True, {"disable_bias_correction": True}),
        "fast bias correction": (performance, True, {}),
        "bias correction": (performance, False, {}),
        "bias correction, mixed": (mixed, False, {}),
        "bias correction, channel alignment": (
            performance,
            False,
            {"disable_channel_alignment": False},
        ),
    }
    # by default NNCF has a scale for each output channel
    weights = {} if per_channel else {"per_channel": False}
    made = {}
    for name, (preset, fast, options) in chosen.items():
        if weights:
            options["weights_quantization_params"] = QuantizationParameters(**weights)
        if name == "no correction":
            options["smooth_quant_alpha"] = -1
        advanced = AdvancedQuantizationParameters(**options)
        made[name] = partial(quantize, preset=preset, fast=fast, advanced=advanced, kind=kind)
    return made


if __name__ == "__main__":
    run(
        {
            f"{name}-{granularity}": settings(kind, per_channel=granularity == "channel")
            for name, kind in (("convolution", None), ("attention", nncf.ModelType.TRANSFORMER))
            for granularity in ("channel", "tensor")
        }
    )
