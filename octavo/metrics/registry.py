"""Metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from octavo.arrays import Array
from octavo.data.functions import import_function, names_function
from octavo.errors import UsageError, nearest
from octavo.metrics.agreement import Agreement
from octavo.metrics.base import Metric, Outputs
from octavo.metrics.classification import F1, TopK
from octavo.metrics.custom import FunctionMetric
from octavo.metrics.regression import mae, mse

METRICS: Mapping[str, Callable[[], Metric]] = MappingProxyType(
    {
        "top1": partial(TopK, 1),
        "top5": partial(TopK, 5),
        "f1": partial(F1, "f1", "auto"),
        "f1_macro": partial(F1, "f1_macro", "macro"),
        "mse": mse,
        "mae": mae,
        "agreement": Agreement,
    }
)
"""What makes each metric, by the name the user gives."""


def get_metric(name: str | Callable[[Outputs, Array], Any]) -> Metric:
    """Return a new metric.

    Args:
        name: one of `METRICS`, `module:function` for a function of the user's own (its module is
            imported, which runs its code), or such a function: see `FunctionMetric`.

    Raises:
        UsageError: there is no such metric.
    """
    if not isinstance(name, str):
        return FunctionMetric(getattr(name, "__name__", "metric"), name)
    if name in METRICS:
        return METRICS[name]()
    if names_function(name):
        return FunctionMetric(name, import_function(name))
    raise UsageError(
        f"there is no metric {name!r}{nearest(name, METRICS)}; the metrics are "
        f"{', '.join(METRICS)}, or module:function for one of your own"
    )
