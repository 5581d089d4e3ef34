"""Accuracy recovery: edits of a float model after which quantization takes less away."""

from octavo.correct.pipeline import METHODS, Corrected, Method, correct
from octavo.correct.scale import Scale, scaled

__all__ = ["METHODS", "Corrected", "Method", "Scale", "correct", "scaled"]
