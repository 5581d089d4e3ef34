"""Other searches than `solve`, for those who ask: one evaluation after another.

Optuna is imported when one of its samplers runs, not when this package is.
"""

from octavo.search.strategies.base import Budget, History, Judge, Judged, Maker, Step, Strategy
from octavo.search.strategies.registry import STRATEGIES, strategy

__all__ = [
    "STRATEGIES",
    "Budget",
    "History",
    "Judge",
    "Judged",
    "Maker",
    "Step",
    "Strategy",
    "strategy",
]
