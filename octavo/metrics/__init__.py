"""Metrics: how good outputs are, sample by sample where that has a meaning."""

from octavo.metrics.base import Metric
from octavo.metrics.registry import METRICS, get_metric

__all__ = ["METRICS", "Metric", "get_metric"]
