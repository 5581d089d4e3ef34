"""Whether OpenVINO computes what an INT8 model says, in the form in which it will run.

The kernels that OpenVINO takes depend on the threads and on whether shapes are fixed, and some of
its INT8 kernels are wrong; the data that a model is judged on run through other ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from octavo.arrays import Array, Batch
from octavo.backends.onnxruntime import run as onnx_run
from octavo.errors import ModelError
from octavo.measure import Energy
from octavo.model import Model
from octavo.target import Target

CLOSE = 20.0  # dB; nearer to its oracle than this, an INT8 model is right
FARTHER = 6.0  # dB by which a wrong one is farther from its oracle than the float model
UNKNOWN = 6.0  # dB to the oracle below which a model is wrong where no float model is at hand


def check_outputs(
    model: Model | None, built: Model, batch: Batch, found: Mapping[str, Array], target: Target
) -> None:
    """Compare what OpenVINO made of a batch with what ONNX Runtime makes of the QDQ graph in float.

    Args:
        model: the float model; None where it is not at hand.
        built: the INT8 model.
        batch: what both ran on.
        found: OpenVINO's outputs.
        target: the threads.

    Raises:
        ModelError: OpenVINO computes something else.
    """
    oracle = onnx_run.open_model(replace(built, optimize=False), target).run(batch)
    distance = _decibels(oracle, found)
    least, beside = UNKNOWN, ""
    if model is not None:
        floats = onnx_run.open_model(model, target).run(batch)
        of_float = _decibels(oracle, floats)
        least, beside = min(CLOSE, of_float - FARTHER), f", while FP32 is at {of_float:.0f} dB"
    if distance < least:
        raise ModelError(
            "OpenVINO computes something else than the INT8 model says: its results are at "
            f"{distance:.0f} dB to those of the same graph in float{beside}; run it in onnxruntime"
        )


def _decibels(oracle: Mapping[str, Array], other: Mapping[str, Array]) -> float:
    """Return the SQNR of all float outputs of the same sizes; those of detectors may differ."""
    energy = Energy()
    for name, exact in oracle.items():
        if exact.dtype.kind == "f" and exact.shape == other[name].shape:
            known = np.isfinite(exact)
            energy.add(exact[known], other[name][known])
    return energy.sqnr_db
