"""Whether oneDNN's kernels compute what an INT8 model says, on the processor that it runs on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import fx

from octavo.arrays import Array, Batch
from octavo.backends.pytorch.emulate import emulated, has_kernels
from octavo.backends.pytorch.load import native
from octavo.backends.pytorch.prepare import prepared
from octavo.backends.pytorch.run import call, to_array
from octavo.errors import ModelError
from octavo.measure import Energy
from octavo.model import Model
from octavo.target import Target

CLOSE = 30.0  # dB; nearer to its oracle than this, an INT8 model is right


def check_outputs(
    model: Model, built: Model, batch: Batch, found: Mapping[str, Array], target: Target
) -> None:
    """Compare what kernels made of a batch with what the same graph makes in float.

    The two differ where rounding tips a value by one step, which is less than what quantization
    changes at all.

    Args:
        model: the float model.
        built: the INT8 model.
        batch: what it ran on.
        found: its outputs.
        target: the threads.

    Raises:
        ModelError: the kernels compute something else.
    """
    program = native(built).program
    if not has_kernels(program):
        return
    oracle = _outputs(emulated(program), built, batch, target)
    distance = _decibels(oracle, found)
    of_float = _decibels(oracle, _outputs(prepared(native(model).program), model, batch, target))
    if not distance >= min(CLOSE, of_float):
        raise ModelError(
            "oneDNN computes something else than the INT8 model says: its results are at "
            f"{distance:.0f} dB to those of the same graph in float, while FP32 is at "
            f"{of_float:.0f} dB; was the model made for a processor with VNNI? Then quantize it on "
            "the one that it runs on"
        )


def _outputs(
    module: fx.GraphModule, model: Model, batch: Batch, target: Target
) -> dict[str, Array]:
    values = call(module, [batch[spec.name] for spec in model.inputs], target.threads)
    names = [spec.name for spec in model.outputs]
    return dict(zip(names, map(to_array, values), strict=True))


def _decibels(oracle: Mapping[str, Array], other: Mapping[str, Array]) -> float:
    """Return the SQNR of all float outputs of the same sizes; those of detectors may differ."""
    energy = Energy()
    for name, exact in oracle.items():
        if exact.dtype.kind == "f" and exact.shape == other[name].shape:
            known = np.isfinite(exact)
            energy.add(exact[known], other[name][known])
    return energy.sqnr_db
