"""Octavo: FP32 models in, INT8 models out, proven accurate and measured faster.

The names below are imported when they are first used, so that `octavo --help` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octavo.api import benchmark, compare, explain, quantize, run_job
    from octavo.artifact import Manifest
    from octavo.errors import OctavoError
    from octavo.job import QuantizeJob
    from octavo.loaded import LoadedModel, load
    from octavo.tolerance import Tolerance
    from octavo.workflow.reporter import OctavoWarning, Reporter
    from octavo.workflow.result import Result

__version__ = "0.1.0"

__all__ = [
    "LoadedModel",
    "Manifest",
    "OctavoError",
    "OctavoWarning",
    "QuantizeJob",
    "Reporter",
    "Result",
    "Tolerance",
    "__version__",
    "benchmark",
    "compare",
    "explain",
    "load",
    "quantize",
    "run_job",
]

_MODULES = {
    "LoadedModel": "octavo.loaded",
    "Manifest": "octavo.artifact",
    "OctavoError": "octavo.errors",
    "OctavoWarning": "octavo.workflow.reporter",
    "QuantizeJob": "octavo.job",
    "Reporter": "octavo.workflow.reporter",
    "Result": "octavo.workflow.result",
    "Tolerance": "octavo.tolerance",
    "benchmark": "octavo.api",
    "compare": "octavo.api",
    "explain": "octavo.api",
    "load": "octavo.loaded",
    "quantize": "octavo.api",
    "run_job": "octavo.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
