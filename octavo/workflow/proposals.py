"""Which plan is tried next: from what was seen so far, by prices and label-free errors.

A list of whole plans would cost an evaluation each. Recipes are compared by what they do to the
outputs on a few samples, without labels, and only the best is evaluated. Where all of the model in
INT8 loses too much, or is not faster, groups are priced, their sensitivity is measured, and the
fastest plan that should be accurate is solved for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from octavo.errors import OctavoError
from octavo.job import QuantizeJob
from octavo.plan import Plan
from octavo.search.candidates import Candidate
from octavo.search.surrogate import Seen, allowed_error, predicted_loss
from octavo.workflow.prospect import Prospect
from octavo.workflow.reporter import Reporter
from octavo.workflow.trial import Trial

WORTH = 1.02
"""The least predicted ratio over float for which a plan is built."""

SOLVED = 3
"""How many solved plans are tried at most."""

CLEARLY = 0.8
"""A recipe has to have less than this share of the error of minmax to be preferred to it."""

CLOSE = 1.1
"""How much more error than allowed is close enough."""

MORE = 1.2
"""The least step from the error of a plan that held to that of one that may be faster."""

STEP = 8.0
"""The most by which a budget grows at once."""

STEPS = 5
"""How many plans are solved and measured without labels for one that is evaluated."""

HOPELESS = 3.0
"""A predicted loss of so many times the accepted one is not worth an evaluation."""


class Proposals(Protocol):
    """Gives plans one after the other, knowing what became of the ones before."""

    def next(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return the plan to try next, None where there is no other.

        Args:
            trials: what became of those that ran, in their order.
        """
        ...


class InOrder:
    """Plans in a given order."""

    def __init__(self, plans: Sequence[Candidate]) -> None:
        self._plans = list(plans)

    def next(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return the next one."""
        return self._plans.pop(0) if self._plans else None


class Solving:
    """Whole plans first, by their label-free error; then solved ones; then all others."""

    def __init__(
        self, plans: Sequence[Candidate], prospect: Prospect, job: QuantizeJob, reporter: Reporter
    ) -> None:
        """Prepare the order.

        Args:
            plans: whole plans, in the order in which they were to be tried.
            prospect: measures errors, prices and sensitivities when they are asked for.
            job: what was asked for.
            reporter: is told what is done.
        """
        self._plans = list(plans)
        self._prospect = prospect
        self._job = job
        self._reporter = reporter
        self._solved = 0
        self._budget = math.inf
        self._ranked = False
        self._ended = False

    def next(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return the plan to try next."""
        if not self._ranked:
            self._ranked = True
            self._rank()
        while self._plans and self._plans[0].approach == "static":
            candidate = self._plans.pop(0)
            if self._promises(candidate, trials):
                return candidate
        if trials and not self._ended and self._solved < SOLVED:
            solved = self._solve(trials)
            if solved is not None:
                self._solved += 1
                return solved
            self._ended = True
        return self._plans.pop(0) if self._plans and not self._solved else None

    def _rank(self) -> None:
        """Keep the static recipe with the least error, plain and corrected."""
        plain = [p for p in self._plans if p.approach == "static" and not p.plan.recipe.corrections]
        corrected = [p for p in self._plans if p.approach == "static" and p.plan.recipe.corrections]
        others = [p for p in self._plans if p.approach != "static"]
        if len(plain) < 2:
            return
        errors = {}
        with self._reporter.track("comparing range methods without labels", None):
            for candidate in plain:
                try:
                    errors[candidate.name] = self._prospect.error(candidate)
                except OctavoError as error:
                    self._reporter.warn(f"{candidate.name}: {error}")
        usable = [candidate for candidate in plain if candidate.name in errors]
        if not usable:
            self._plans = [*plain[:1], *others]
            return
        best = min(usable, key=lambda one: errors[one.name])
        if errors[usable[0].name] * CLEARLY <= errors[best.name]:
            best = usable[0]
        shown = ", ".join(f"{p.plan.recipe.ranges} {decibels(errors[p.name])}" for p in usable)
        self._reporter.say(f"SQNR of the outputs on {self._prospect.samples} samples: {shown}")
        self._plans = [best, *(self._with_ranges(one, best) for one in corrected[:1]), *others]

    def _with_ranges(self, corrected: Candidate, best: Candidate) -> Candidate:
        recipe = replace(best.plan.recipe, corrections=corrected.plan.recipe.corrections)
        name = f"{best.name} corrected"
        return replace(corrected, name=name, plan=replace(best.plan, recipe=recipe))

    def _promises(self, candidate: Candidate, trials: Sequence[Trial]) -> bool:
        """Return whether a plan is worth an evaluation, after those that were evaluated."""
        if any(trial.accuracy.reached for trial in trials):
            return False  # accurate and not faster: other ranges run the same kernels
        seen = self._seen(trials)
        if not seen:
            return True
        try:
            error = self._prospect.error(candidate)
        except OctavoError as error_:
            self._reporter.warn(f"{candidate.name}: {error_}")
            return False
        loss = predicted_loss(seen, error)
        if loss is None or loss < HOPELESS:
            return True
        self._reporter.say(
            f"{candidate.name} has {decibels(error)}, which would lose about {loss:.1f} times the "
            "tolerance: not evaluated"
        )
        return False

    def _seen(self, trials: Sequence[Trial]) -> list[Seen]:
        return [
            Seen(self._prospect.trial_error(trial), trial.accuracy.loss_over(self._job.tolerance))
            for trial in trials
        ]

    def _solve(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return the fastest plan that should be accurate, None where none is faster than float."""
        base = min(trials, key=self._prospect.trial_error).candidate
        try:
            allowed = self._allowed(trials)
            solved = self._within(base, allowed) if allowed else self._prospect.solve(base, None)
        except OctavoError as error:
            self._reporter.warn(f"no plan could be solved for: {error}")
            return None
        if any(trial.candidate.plan.formats == solved.plan.formats for trial in trials):
            return None
        number = f" {self._solved + 1}" if self._solved else ""
        return replace(solved, name=solved.name + number) if self._pays(solved.plan) else None

    def _allowed(self, trials: Sequence[Trial]) -> float | None:
        """Return the error that the next plan may have, None where none lost too much so far.

        It lies between the errors of plans that held and were not faster, and of those that lost
        too much.
        """
        seen = self._seen(trials)
        beyond = [one.error for one in seen if one.loss > 1]
        if not beyond:
            return None
        held = max((one.error for one in seen if one.loss <= 1 and one.error > 0), default=0.0)
        allowed = allowed_error(seen) or min(beyond) / 4
        if allowed <= held * MORE and held < min(beyond):
            return math.sqrt(held * min(beyond))
        tightened = self._budget / 2 if seen[-1].loss > 1 and self._solved else math.inf
        self._budget = min(allowed, tightened)
        return self._budget

    def _within(self, base: Candidate, allowed: float) -> Candidate:
        """Return the plan with the most error that is allowed, as measured without labels.

        Sums of sensitivities are off by some factor, which is corrected in a few steps.
        """
        budget, low, high = allowed, 0.0, math.inf
        best: Candidate | None = None
        for _ in range(STEPS):
            solved = self._prospect.solve(base, budget)
            error = self._prospect.error(solved)
            self._reporter.say(self._describe(solved, error, allowed))
            if error <= CLOSE * allowed:
                low, best = budget, self._faster(solved, best)
                if error >= allowed / CLOSE**2:
                    break
            else:
                high = budget
            budget = self._between(low, high, budget * allowed / max(error, allowed / STEP))
        return best or solved

    @staticmethod
    def _between(low: float, high: float, guess: float) -> float:
        """Return the next budget: a guess, or the middle where that is outside of what is known."""
        if low < guess < high:
            return guess
        return math.sqrt(low * high) if low and high < math.inf else guess

    def _faster(self, one: Candidate, other: Candidate | None) -> Candidate:
        if other is None or self._prospect.ratio(one.plan) > self._prospect.ratio(other.plan):
            return one
        return other

    def _describe(self, solved: Candidate, error: float, allowed: float) -> str:
        return (
            f"solved: {len(solved.quantized)} groups in INT8, "
            f"{self._prospect.ratio(solved.plan):.2f}x of float predicted, {decibels(error)} at "
            f"the outputs, {decibels(allowed)} allowed"
        )

    def _pays(self, plan: Plan) -> bool:
        ratio = self._prospect.ratio(plan)
        if ratio >= WORTH:
            return True
        self._reporter.say(
            f"the fastest plan that should be accurate is predicted at {ratio:.2f}x of float: "
            "not built"
        )
        return False


def decibels(error: float) -> str:
    """Return an error of noise over signal as decibels of signal over noise."""
    return f"{-10 * math.log10(error):.1f} dB" if error > 0 else "no error"
