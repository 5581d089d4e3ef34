"""The classic: everything in INT8, then operator by operator back to float.

As the basic strategy of Intel Neural Compressor does it: each group alone in float is evaluated,
they are sorted by the accuracy that this brings back, and accumulated in that order. It ends with
the first plan within the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

from octavo.plan import FP32
from octavo.search.space import Space
from octavo.search.strategies.base import Budget, History, Judge, Maker


@dataclass(frozen=True)
class Fallback:
    """Falls one group after another back to float; it draws nothing."""

    def run(
        self, space: Space, judge: Judge, budget: Budget, maker: Maker | None = None
    ) -> History:
        """Search until a plan is within the tolerance, or the budget is spent."""
        history = History(space, judge, budget, maker)
        everything = history.try_out("everything", space.everything)
        if everything is None or everything.judged.within:
            return history
        losses: dict[str, float] = {}
        for group in space.decided:
            step = history.try_out(f"{group} in float", space.everything | {group: FP32.name})
            if step is None or step.judged.within:
                return history
            losses[group] = step.judged.loss_over_tolerance
        choice = space.everything
        for count, group in enumerate(sorted(losses, key=lambda name: losses[name]), start=1):
            choice = choice | {group: FP32.name}
            step = history.try_out(f"{count} in float", choice)
            if step is None or step.judged.within:
                break
        return history
