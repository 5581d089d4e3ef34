"""What strategies share: how a plan is judged, what may be spent, and what was found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from octavo.plan import Plan
from octavo.search.space import Space
from octavo.search.study.records import plan_key


@dataclass(frozen=True)
class Judged:
    """What a plan is worth.

    Attributes:
        loss_over_tolerance: the accuracy it loses, 1 being all that may be lost; infinite where it
            cannot be built or run.
        seconds: of one forward, measured or predicted; None where it is not known.
        within: whether it is within the tolerance.
        cost: what is minimized where that is not `seconds`, such as bytes.
    """

    loss_over_tolerance: float
    seconds: float | None
    within: bool
    cost: float | None = None

    @property
    def minimized(self) -> float | None:
        """The cost, else the seconds; None where neither is known."""
        return self.seconds if self.cost is None else self.cost


FAILED = Judged(math.inf, None, False)
Judge: TypeAlias = Callable[[Plan], Judged]
Maker: TypeAlias = Callable[[Mapping[str, str]], Plan]
"""Makes the plan of a choice, as `Space.follow` does without a recipe."""


@dataclass(frozen=True)
class Budget:
    """When to stop, looked at between two evaluations; none is interrupted.

    Attributes:
        max_evaluations: plans that are judged, those of a resumed study included.
        timeout: seconds; None for no limit.
        clock: tells the time in seconds.
        stop: returns why to stop; None where there is no reason.
    """

    max_evaluations: int = 100
    timeout: float | None = None
    clock: Callable[[], float] = time.monotonic
    stop: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Step:
    """One plan that was judged.

    Attributes:
        name: what led to it.
        choice: the format of each group that is decided on.
        plan: the plan.
        judged: what it is worth.
        cost: `judged.minimized`, or the share of the work in float where that is not known.
    """

    name: str
    choice: Mapping[str, str]
    plan: Plan
    judged: Judged
    cost: float


@dataclass
class History:
    """What a strategy judged, in order; it asks the judge once for equal plans.

    Attributes:
        space: the plans that can be proposed.
        judge: judges a plan.
        budget: when to stop.
        maker: makes the plan of a choice; None for `Space.follow`.
        steps: the plans that were judged, each once.
    """

    space: Space
    judge: Judge
    budget: Budget
    maker: Maker | None = None
    steps: list[Step] = field(default_factory=list)
    _known: dict[str, Step] = field(default_factory=dict)
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.budget.clock()

    @property
    def spent(self) -> bool:
        """Whether the budget allows no further evaluation."""
        late = self.budget.timeout is not None and (
            self.budget.clock() - self._started >= self.budget.timeout
        )
        full = len(self.steps) >= self.budget.max_evaluations
        return late or full or bool(self.steps and self.budget.stop())

    @property
    def best(self) -> Step | None:
        """The plan within the tolerance that costs least, else the one that loses least."""
        within = [step for step in self.steps if step.judged.within]
        if not within:
            return min(self.steps, key=lambda one: one.judged.loss_over_tolerance, default=None)
        known = all(step.judged.minimized is not None for step in within)
        share = self.space.float_share
        return min(within, key=lambda one: one.cost if known else share(one.choice))

    def try_out(self, name: str, choice: Mapping[str, str]) -> Step | None:
        """Judge a choice, or return what is known of its plan; None where the budget is spent."""
        plan = (self.maker or self.space.follow)(choice)
        known = self._known.get(plan_key(plan))
        if known is not None or self.spent:
            return known
        judged = self.judge(plan)
        cost = judged.minimized
        if cost is None:
            cost = self.space.float_share(choice)
        step = Step(name, dict(choice), plan, judged, cost)
        self.steps.append(step)
        self._known[plan_key(plan)] = step
        return step


class Strategy(Protocol):
    """A way to search a space."""

    def run(
        self, space: Space, judge: Judge, budget: Budget, maker: Maker | None = None
    ) -> History:
        """Search until a goal of its own or the budget is reached.

        Args:
            space: what is decided on.
            judge: judges a plan.
            budget: when to stop.
            maker: makes the plan of a choice where `Space.follow` alone does not, for a recipe.
        """
        ...
