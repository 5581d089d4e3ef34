"""The classic: everything in INT8, then operator by operator back to float.

As the basic strategy of Intel Neural Compressor does it: each group alone in float is evaluated,
they are sorted by the accuracy that this brings back, and accumulated in that order. It ends with
the first plan within the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

from octavo.search.strategies.base import Budget, History, Judge
from octavo.search.strategies.space import FP32, Space


@dataclass(frozen=True)
class Fallback:
    """Falls one group after another back to float; it draws nothing."""

    def run(self, space: Space, judge: Judge, budget: Budget) -> History:
        """Search until a plan is within the tolerance, or the budget is spent."""
        history = History(space, judge, budget)
        everything = history.try_out("everything", space.quantized)
        if everything is None or everything.judged.within:
            return history
        losses: dict[str, float] = {}
        for group in space.choices:
            step = history.try_out(f"{group} in float", space.quantized | {group: FP32})
            if step is None or step.judged.within:
                return history
            losses[group] = step.judged.loss_over_tolerance
        choice = space.quantized
        for count, group in enumerate(sorted(losses, key=lambda name: losses[name]), start=1):
            choice = choice | {group: FP32}
            step = history.try_out(f"{count} in float", choice)
            if step is None or step.judged.within:
                break
        return history
