"""Whether a corrected FP32 model still computes what it did."""

from __future__ import annotations

import math
from collections.abc import Iterable

from octavo.arrays import Batch
from octavo.backends.base import Backend
from octavo.errors import ModelError, UnequalSizesError
from octavo.measure import Energy
from octavo.model import Model
from octavo.target import Target

LARGEST_CHANGE = 1e-4
"""The root mean square of the change over that of the output, -80 dB. Rounding the constants of a
deep network to float32 once more makes 1e-6; the rounding to 8 bits makes 1e-2; a factor that went
to a wrong channel makes 1e-1 and more."""


def output_errors(
    backend: Backend, before: Model, after: Model, batches: Iterable[Batch], target: Target
) -> dict[str, float]:
    """Return by how much the outputs of two models differ, relative to those of the first.

    Returns:
        By output, the root mean square of the difference over that of the output. Infinity where
        an output is not finite, or is zero throughout in one and not in the other. Nothing where
        there are no batches.

    Raises:
        UnequalSizesError: an output has another size in the second model.
    """
    sessions = backend.open(before, target), backend.open(after, target)
    energies: dict[str, Energy] = {}
    for batch in batches:
        old, new = (session.run(batch) for session in sessions)
        for name in old:
            if old[name].shape != new[name].shape:
                sizes = f"{list(old[name].shape)} and {list(new[name].shape)}"
                raise UnequalSizesError(
                    f"output {name!r} changes its size ({sizes}), so that nothing tells what a "
                    "correction is worth"
                )
            energies.setdefault(name, Energy()).add(old[name], new[name])
    return {name: _ratio(energy.noise, energy.signal) for name, energy in energies.items()}


def _ratio(noise: float, signal: float) -> float:
    if noise == 0:
        return 0.0
    ratio = math.sqrt(noise / signal) if signal > 0 else math.inf
    return ratio if math.isfinite(ratio) else math.inf


def require_same_function(
    backend: Backend, before: Model, after: Model, batches: Iterable[Batch], target: Target
) -> float:
    """Check that two models compute the same, up to the rounding of float32.

    Returns:
        By how much the output that differs most does; see `output_errors`.

    Raises:
        ModelError: it differs by more.
    """
    change = max(output_errors(backend, before, after, batches, target).values(), default=0.0)
    if change > LARGEST_CHANGE:
        raise ModelError(
            f"scaling channels changed the outputs of the FP32 model by {change:.1e}, where "
            f"rounding explains {LARGEST_CHANGE:g}; the model was left as it was"
        )
    return change
