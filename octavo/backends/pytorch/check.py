"""Whether oneDNN's kernels compute what an INT8 model says, on the processor that it runs on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from octavo.arrays import Array, Batch
from octavo.backends.pytorch.emulate import emulated, has_kernels
from octavo.backends.pytorch.load import native
from octavo.backends.pytorch.run import call, to_array
from octavo.errors import ModelError
from octavo.measure import Energy
from octavo.model import Model
from octavo.target import Target

UNKNOWN = 10.0
"""The least distance in dB from the same graph in float; rounding alone leaves 30 and more."""


def check_outputs(built: Model, batch: Batch, found: Mapping[str, Array], target: Target) -> None:
    """Compare what kernels made of a batch with what the same graph makes in float.

    Args:
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
    arrays = [batch[spec.name] for spec in built.inputs]
    values = call(emulated(program), arrays, target.threads)
    expected = dict(zip(found, map(to_array, values), strict=True))
    energy = Energy()
    for name, exact in expected.items():
        if exact.dtype.kind == "f" and exact.shape == found[name].shape:
            known = np.isfinite(exact)
            energy.add(exact[known], found[name][known])
    if energy.sqnr_db < UNKNOWN:
        raise ModelError(
            "oneDNN computes something else than the INT8 model says: its results are at "
            f"{energy.sqnr_db:.0f} dB to those of the same graph in float; was the model made for "
            "a processor with VNNI? Then quantize it on the one that it runs on"
        )
