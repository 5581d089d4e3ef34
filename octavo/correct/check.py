"""Whether a corrected FP32 model still computes what it did."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from octavo.arrays import Batch
from octavo.backends.base import Backend
from octavo.errors import ModelError
from octavo.model import Model
from octavo.target import Target

LARGEST_CHANGE = 1e-4
"""The root mean square of the change over that of the output, -80 dB. Rounding the constants of a
deep network to float32 once more makes 1e-6; the rounding to 8 bits makes 1e-2; a factor that went
to a wrong channel makes 1e-1 and more."""


def largest_change(
    backend: Backend, before: Model, after: Model, batches: Iterable[Batch], target: Target
) -> float:
    """Return by how much the outputs of two models differ, relative to the outputs.

    Returns:
        The largest of all outputs: root mean square of the difference over that of the output.
        Infinity where an output is not finite, or is zero throughout and changed.
    """
    sessions = backend.open(before, target), backend.open(after, target)
    signal = dict.fromkeys((spec.name for spec in before.outputs), 0.0)
    noise = dict(signal)
    for batch in batches:
        old, new = (session.run(batch) for session in sessions)
        for name in signal:
            exact = old[name].astype(np.float64)
            signal[name] += float(np.square(exact).sum())
            noise[name] += float(np.square(new[name] - exact).sum())
    return max((_ratio(noise[name], signal[name]) for name in signal), default=0.0)


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
        By how much their outputs differ; see `largest_change`.

    Raises:
        ModelError: they differ by more.
    """
    change = largest_change(backend, before, after, batches, target)
    if change > LARGEST_CHANGE:
        raise ModelError(
            f"scaling channels changed the outputs of the FP32 model by {change:.1e}, where "
            f"rounding explains {LARGEST_CHANGE:g}; the model was left as it was"
        )
    return change
