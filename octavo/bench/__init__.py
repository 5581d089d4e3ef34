"""Measuring models as servers run them: pinned worker processes, interleaved blocks, honest ratios.

The names below are imported when they are first used, because `python -m octavo.bench.worker`
imports this package and has to pin itself before numpy is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octavo.bench.pair import measure_pair
    from octavo.bench.process import Limits, ModelRef
    from octavo.bench.results import Measurement, PairResult, SingleResult
    from octavo.bench.single import measure_single

__all__ = [
    "Limits",
    "Measurement",
    "ModelRef",
    "PairResult",
    "SingleResult",
    "measure_pair",
    "measure_single",
]

_MODULES = {
    "Limits": "octavo.bench.process",
    "Measurement": "octavo.bench.results",
    "ModelRef": "octavo.bench.process",
    "PairResult": "octavo.bench.results",
    "SingleResult": "octavo.bench.results",
    "measure_pair": "octavo.bench.pair",
    "measure_single": "octavo.bench.single",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
