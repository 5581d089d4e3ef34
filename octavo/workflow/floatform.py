"""Whether the float form that a backend quantizes still computes what the model computes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from octavo.arrays import Array
from octavo.data.base import Dataset
from octavo.errors import ModelError, OctavoError
from octavo.measure import Energy
from octavo.model import Model
from octavo.plan import Plan
from octavo.workflow.batches import full_batches
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting

LEAST_DB = 40.0
"""SQNR below which two float forms of a model do not compute the same: an error of 1 % of the
values. Rewriting changes the order of float32 sums, which left 127 dB or more in every network that
the tests hold as an export; INT8 itself leaves 20 to 40, so that what is worse than 40 would be
taken for quantization's own error."""
APART_DB = 20.0
"""How much worse a form must be than what the runtime's own rewriting does to the same model, which
tells models that choose (TopK, NonMaxSuppression) or draw at random from wrong ones."""
LOWEST_DB = -200.0
"""What stands for an output that is 0 everywhere in the model only."""
SMALLEST = 1e-6
"""Root mean square of a difference that counts for nothing, next to outputs of exact zeros."""
REPORT = "this is a defect of Octavo, please report it with the model"


def float_form_defect(setting: Setting, dataset: Dataset, reporter: Reporter) -> str | None:
    """Compare a model with what its backend makes of it where nothing is quantized.

    Looked at are float outputs of equal shape that are finite in the model, on the first sample.

    Args:
        setting: the model.
        dataset: where the sample comes from.
        reporter: is told why nothing could be compared.

    Returns:
        What is wrong, None for a form that computes the same.
    """
    try:
        return _defect(setting, next(full_batches(dataset, 1, setting.fixed)).inputs)
    except ModelError as error:  # the model itself was run before
        return f"the form that Octavo makes of the model does not run ({error}); {REPORT}"
    except OctavoError as error:
        reporter.warn(f"the model could not be compared with its form that is quantized: {error}")
        return None


def _defect(setting: Setting, sample: Mapping[str, Array]) -> str | None:
    def outputs(model: Model) -> dict[str, Array]:
        return setting.open(model).run(sample)

    form = setting.backend.build(setting.model, Plan(), {}, setting.target)
    expected = outputs(setting.model)
    found = _differences(expected, outputs(form))
    if not any(sqnr < LEAST_DB for sqnr in found.values()):
        return None
    own = _differences(expected, outputs(replace(setting.model, optimize=False)))
    for name, sqnr in sorted(found.items(), key=lambda item: item[1]):
        if sqnr < min(LEAST_DB, own.get(name, math.inf) - APART_DB):
            return _described(name, sqnr)
    return None


def _described(name: str, sqnr: float) -> str:
    size = "is not finite" if sqnr == -math.inf else f"has an SQNR of {sqnr:.1f} dB"
    return (
        f"the float form that Octavo makes of the model does not compute the same: output {name!r} "
        f"{size}, where rounding leaves more than {LEAST_DB:g} dB; {REPORT}"
    )


def _differences(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> dict[str, float]:
    """Return the SQNR in dB of every output that can be compared."""
    return {
        name: _sqnr_db(values, actual[name])
        for name, values in expected.items()
        if name in actual and _comparable(values, actual[name])
    }


def _comparable(expected: Array, actual: Array) -> bool:
    floating = expected.dtype.kind == "f" and actual.dtype.kind == "f"
    return floating and expected.shape == actual.shape and bool(np.isfinite(expected).all())


def _sqnr_db(expected: Array, actual: Array) -> float:
    """Return infinity for equal arrays and minus infinity where `actual` is not finite."""
    energy = Energy.of(expected, actual)
    if energy.noise <= SMALLEST**2 * expected.size:
        return math.inf
    return max(LOWEST_DB, energy.sqnr_db) if math.isfinite(energy.noise) else -math.inf
