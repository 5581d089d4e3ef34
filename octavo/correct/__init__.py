"""Accuracy recovery: changes to a float model after which quantization takes less away."""

from octavo.correct.pipeline import Corrected, correct
from octavo.correct.scale import Scale, scaled
from octavo.correct.task import Task

__all__ = ["Corrected", "Scale", "Task", "correct", "scaled"]
