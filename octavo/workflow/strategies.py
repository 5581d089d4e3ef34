"""The strategies of others: they propose plans, which are judged like any other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from octavo.errors import OctavoError
from octavo.plan import Plan
from octavo.search.candidates import Candidate
from octavo.search.strategies import Budget, Judged, strategy
from octavo.search.strategies.base import FAILED
from octavo.search.study.records import plan_key
from octavo.workflow.attempt import Attempts
from octavo.workflow.prospect import Prospect
from octavo.workflow.search import Outcome, conclude
from octavo.workflow.trial import Trial

MEASURED = 3
"""How many accurate plans are measured at most, the one with the best prediction first."""


@dataclass
class Jury:
    """Judges the plans of a strategy and keeps what became of them, without their models.

    Attributes:
        attempts: makes plans real.
        prospect: predicts what plans cost.
        name: of the strategy.
        trials: those that ran, in their order, by the key of their plans.
        refused: why the last of the others did not.
    """

    attempts: Attempts
    prospect: Prospect
    name: str
    trials: dict[str, Trial] = field(default_factory=dict)
    refused: str | None = None
    _count: int = 0

    def judge(self, plan: Plan) -> Judged:
        """Return what a plan is worth; nothing where it cannot be built, run or judged."""
        self._count += 1
        reasons = self.prospect.reasons(plan)
        candidate = Candidate(f"{self.name} {self._count}", plan, reasons)
        try:
            trial = self.attempts.judge(candidate)
        except OctavoError as error:
            self.refused = str(error)
            self.attempts.judge_by.reporter.warn(f"{candidate.name}: {error}")
            return FAILED
        setting = self.attempts.judge_by.setting
        self.trials[plan_key(plan)] = replace(trial, model=setting.model)  # a model can be large
        loss = trial.accuracy.loss_over(self.attempts.judge_by.job.tolerance)
        return Judged(loss, self._cost(plan), trial.accuracy.reached)

    def _cost(self, plan: Plan) -> float:
        """Return what a plan costs by the objective, 1 being what float costs."""
        gain = self.prospect.gain(plan)
        return 1 / gain if gain > 0 else 1.0


def search_by(name: str, prospect: Prospect, attempts: Attempts, base: Candidate) -> Outcome:
    """Let a strategy search, and finish the best of its plans.

    Args:
        name: one of `octavo.search.strategies.STRATEGIES`.
        prospect: predicts what plans cost.
        attempts: makes them real.
        base: gives the recipe.
    """
    judge_by = attempts.judge_by
    jury = Jury(attempts, prospect, name)
    recipe = base.plan.recipe
    budget = Budget(stop=judge_by.why_stop)
    found = strategy(name, judge_by.job.seed).run(
        prospect.space, jury.judge, budget, lambda choice: prospect.follow(choice, recipe)
    )
    if (why := judge_by.why_stop()) is not None:
        judge_by.reporter.warn(f"the search stopped after {len(found.steps)} plans: {why}")
    costs = {plan_key(step.plan): step.cost for step in found.steps}
    within = [key for key, trial in jury.trials.items() if trial.accuracy.reached]
    for key in sorted(within, key=lambda key: costs[key])[:MEASURED]:
        try:
            jury.trials[key] = attempts.finish(attempts.rebuild(jury.trials[key]))
        except OctavoError as error:
            judge_by.reporter.warn(f"{jury.trials[key].candidate.name}: {error}")
            continue
        if jury.trials[key].good:
            break
    return conclude(list(jury.trials.values()), judge_by, jury.refused, attempts.rebuild)
