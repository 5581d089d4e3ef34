"""Measure: streaming statistics, ranges from them, and the quantization they lead to."""

from octavo.measure.energy import Energy
from octavo.measure.histogram import Histogram
from octavo.measure.observer import Statistics
from octavo.measure.quantization import Quantization, dequantize, quantization_of, quantize
from octavo.measure.ranges import compute_range, tied_ranges
from octavo.measure.samples import SAMPLED
from octavo.measure.statistics import TensorStatistics
from octavo.measure.weights import quantize_weight

__all__ = [
    "SAMPLED",
    "Energy",
    "Histogram",
    "Quantization",
    "Statistics",
    "TensorStatistics",
    "compute_range",
    "dequantize",
    "quantization_of",
    "quantize",
    "quantize_weight",
    "tied_ranges",
]
