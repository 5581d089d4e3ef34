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
from octavo.workflow.fitting import Fitting, Form
from octavo.workflow.prospect import Prospect
from octavo.workflow.recipes import CLEARLY, best_ranges, corrected_forms, decibels
from octavo.workflow.reporter import Reporter
from octavo.workflow.trial import Trial

WORTH = 1.02
"""The least predicted gain over float for which a plan is built."""

SOLVED = 3
"""How many solved plans are tried at most."""

HELD = 1.0
"""A corrected plan for which more can be corrected is evaluated only below this predicted loss."""

MORE = 1.2
"""The least step from the error of a plan that held to that of one that may be faster."""

HOPELESS = 3.0
"""A predicted loss of so many times the accepted one is not worth an evaluation."""

ENOUGH = 1.3
"""What a plan has to gain for nothing to be priced just to find a better one."""

CLOSER = 0.8
"""The predicted loss that a plan may have that is to be better than one that holds."""

CLEARLY_FASTER = 1.05
"""What it has to be predicted to gain over it."""

GAMBLE = 1.5
"""A predicted loss below which a plan is tried that is faster than those that held."""


class Proposals(Protocol):
    """Gives plans one after the other, knowing what became of the ones before."""

    def next(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return the plan to try next, None where there is no other.

        Args:
            trials: what became of those that ran, in their order.
        """
        ...

    def better(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return a plan that should hold and be better than those that do, None without one."""
        ...

    @property
    def doubts(self) -> bool:
        """Whether there is no other plan only because none is predicted to be faster.

        Measuring the first trial may tell otherwise; then `next` is to be asked again.
        """
        ...


class InOrder:
    """Plans in a given order."""

    def __init__(self, plans: Sequence[Candidate]) -> None:
        self._plans = list(plans)

    def next(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return the next one."""
        return self._plans.pop(0) if self._plans else None

    def better(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return none: nothing is known of them."""
        return None

    @property
    def doubts(self) -> bool:
        """No: nothing is predicted."""
        return False


class Solving:
    """Whole plans first, by their label-free error; then solved ones; then a dynamic one."""

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
        self._fitting = Fitting(prospect, reporter)
        self._forms: list[Form] = []
        self._solutions: list[Plan] = []
        self._ranked = False
        self._ended = False
        self._priced = False
        self._futile: bool | None = None

    def next(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return the plan to try next."""
        if not self._ranked:
            self._ranked = True
            self._plans = self._ranking()
        if trials and self._is_futile(trials[0]):
            return None
        held = any(trial.accuracy.reached for trial in trials)
        while self._plans and self._plans[0].approach == "static":
            candidate = self._plans.pop(0)
            # one that held was not faster, and other ranges run the same kernels
            if not trials or (not held and self._promises(candidate, trials)):
                return candidate
        if trials and not self._ended and len(self._solutions) < SOLVED:
            solved = self._solve(trials)
            if solved is not None:
                self._solutions.append(solved.plan)
                return solved
            self._ended = True
        return self._dynamic(trials)

    def better(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return a plan that should hold and gain clearly more than those that do.

        Nothing is priced for it where what holds gains much already.
        """
        good = [trial for trial in trials if trial.good]
        if self._ended or (not self._priced and max(one.gain for one in good) >= ENOUGH):
            return None
        try:
            solved = self._better(good, trials)
        except OctavoError as error:
            self._reporter.warn(f"no better plan could be solved for: {error}")
            return None
        if solved is None:
            return None
        number = f" {len(self._solutions) + 1}" if self._solutions else ""
        self._solutions.append(solved.plan)
        return replace(solved, name=solved.name + number)

    def _better(self, good: Sequence[Trial], trials: Sequence[Trial]) -> Candidate | None:
        seen = self._seen(trials)
        held = max(self._prospect.trial_error(one) for one in good)
        beyond = min((one.error for one in seen if one.loss > 1), default=math.inf)
        allowed = allowed_error(seen, CLOSER) or math.inf
        if min(allowed, beyond) < held * MORE:
            return None
        base = max(good, key=lambda one: one.gain).candidate
        solved = self._solved_within(Form(base, held), min(allowed, beyond))
        least = CLEARLY_FASTER * max(self._prospect.gain(one.candidate.plan) for one in good)
        tried = any(one.candidate.plan == solved.plan for one in trials)
        gain = self._prospect.gain(solved.plan)
        return solved if gain >= max(least, WORTH) and not tried else None

    def _ranking(self) -> list[Candidate]:
        """Return the static plan with the best ranges, its corrected forms, and the others."""
        plain = [p for p in self._plans if p.approach == "static" and not p.plan.recipe.corrections]
        corrected = [p for p in self._plans if p.approach == "static" and p.plan.recipe.corrections]
        others = [p for p in self._plans if p.approach != "static"]
        static = plain or corrected  # where there are no others, the corrections are the user's
        if len(static) > 1:
            static = [best_ranges(static, self._prospect.probe, self._reporter)]
        forms = corrected_forms(static[0], corrected[0]) if plain and corrected else []
        return [*static, *forms, *others]

    @property
    def doubts(self) -> bool:
        """Whether only predictions ended the search."""
        return bool(self._futile) and self._job.objective == "speed"

    def _is_futile(self, first: Trial) -> bool:
        """Return whether no plan is predicted to pay, even if all that is uncertain goes well."""
        if self._futile is None:
            self._futile = False
            try:
                self._foresee(first.candidate)
            except OctavoError as error:
                self._reporter.warn(f"nothing is known of what plans gain: {error}")
                self._ended = True
        if self._futile and first.pays and first.gain >= WORTH:
            self._futile = False
            self._prospect.learn(first.candidate.plan, first.gain)
            self._reporter.say(
                f"{first.candidate.name} was measured to be {self._prospect.in_words(first.gain)}: "
                "the search goes on, with INT8 taken to be as much faster than predicted"
            )
        return self._futile

    def _foresee(self, base: Candidate) -> None:
        """Find out whether any plan may pay; say so where none does, or none for certain."""
        prospect = self._prospect
        free = prospect.solve(base, None)
        self._priced = True
        gain = prospect.gain(free.plan)
        if gain >= WORTH:
            return
        likely = max([free, base, *self._plans], key=lambda one: prospect.promise(one.plan)).plan
        self._futile = prospect.promise(likely) < WORTH
        ends = "" if self._futile else f"; as that is uncertain, {self._hope(likely)}"
        self._reporter.say(
            f"nothing in INT8 is predicted to be {prospect.in_words(WORTH)}, which it takes to "
            f"pay: the best plan, whatever its accuracy, is {prospect.in_words(gain)}{ends}"
        )

    def _hope(self, likely: Plan) -> str:
        return f"INT8 is taken to need {self._prospect.hope(likely):.0%} less time than predicted"

    def _promises(self, candidate: Candidate, trials: Sequence[Trial]) -> bool:
        """Return whether a plan is worth an evaluation, after those that were evaluated."""
        if self._priced and self._prospect.promise(candidate.plan) < WORTH:
            return False
        seen = self._seen(trials)
        try:
            error = self._prospect.error(candidate)
        except OctavoError as error_:
            self._reporter.warn(f"{candidate.name}: {error_}")
            return False
        self._forms.append(Form(candidate, error))
        loss = predicted_loss(seen, error)
        further = any(one.approach == "static" for one in self._plans)
        if loss is None or loss < (HELD if further else HOPELESS):
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
        """Return the best plan that should be accurate, None where none is better than float.

        Where that is one that held and was not faster, or gains no more, or where none has held,
        more error is allowed: a plan that loses too much is found out by few samples.
        """
        base = self._base(trials)
        seen = self._seen(trials)
        allowed = self._allowed(seen)
        solved: Candidate | None = None
        try:
            while allowed is not None:
                solved = self._solved_within(base, allowed)
                if self._pays(solved.plan, trials):
                    number = f" {len(self._solutions) + 1}" if self._solutions else ""
                    return replace(solved, name=solved.name + number)
                allowed = self._more(seen, allowed)
        except OctavoError as error:
            self._reporter.warn(f"no plan could be solved for: {error}")
            return None
        if solved is not None:
            self._tell(solved.plan)
        return None

    def _base(self, trials: Sequence[Trial]) -> Form:
        """Return what to solve from: the recipe by which all of the model has least error.

        That may be one that was not evaluated, as all of the model would lose too much with it.
        """
        tried = [Form(one.candidate, self._prospect.trial_error(one)) for one in trials]
        whole = [one for one in tried if one.candidate.plan not in self._solutions]
        best = min(whole or tried, key=_error)
        other = min(self._forms, key=_error, default=best)
        if other.error < CLEARLY * best.error:
            best = other
        recipe = best.candidate.plan.recipe
        return min(
            (best, *(one for one in tried if one.candidate.plan.recipe == recipe)), key=_error
        )

    def _solved_within(self, base: Form, allowed: float) -> Candidate:
        if math.isinf(allowed):
            return self._prospect.solve(base.candidate, None)
        return self._fitting.fit(base, allowed)

    @staticmethod
    def _allowed(seen: Sequence[Seen]) -> float | None:
        """Return the error that the next plan may have, infinite where none lost too much so far.

        It lies between the errors of plans that held and were not faster, and of those that lost
        too much; None where there is nothing between.
        """
        beyond = min((one.error for one in seen if one.loss > 1), default=math.inf)
        if math.isinf(beyond):
            return beyond
        held = max((one.error for one in seen if one.loss <= 1 and one.error < beyond), default=0.0)
        if held * MORE >= beyond:
            return None
        allowed = allowed_error(seen) or beyond / 4
        return min(allowed, beyond) if held * MORE < allowed < beyond else _between(held, beyond)

    @staticmethod
    def _more(seen: Sequence[Seen], allowed: float) -> float | None:
        """Return more error than that whose best plan does not pay, None where it is hopeless."""
        beyond = min((one.error for one in seen if one.loss > 1), default=math.inf)
        if math.isinf(beyond):
            return None
        more = min(2 * allowed, math.sqrt(allowed * beyond))
        loss = predicted_loss(seen, more)
        most = GAMBLE if any(one.loss <= 1 for one in seen) else HOPELESS
        return more if more >= allowed * MORE and (loss is None or loss < most) else None

    def _pays(self, plan: Plan, trials: Sequence[Trial]) -> bool:
        """Return whether a new plan should gain, and more than those that were not faster."""
        gain = self._prospect.gain(plan)
        slow = [one.candidate.plan for one in trials if one.accuracy.reached]
        surpassed = max((self._prospect.gain(one) for one in slow), default=0.0)
        tried = any(one.candidate.plan == plan for one in trials)
        return gain >= WORTH and gain > surpassed and not tried

    def _tell(self, plan: Plan) -> None:
        gain = self._prospect.gain(plan)
        why = " and was evaluated, or gains no more than one that was" if gain >= WORTH else ""
        self._reporter.say(
            "the best plan that should be accurate is predicted to be "
            f"{self._prospect.in_words(gain)}{why}: not built"
        )

    def _dynamic(self, trials: Sequence[Trial]) -> Candidate | None:
        """Return a whole plan of another kind that may pay, where nothing was solved for."""
        while self._plans and not self._solutions:
            candidate = self._plans.pop(0)
            if not trials or self._promises(candidate, trials):
                return candidate
        return None


def _error(form: Form) -> float:
    return form.error


def _between(one: float, other: float) -> float:
    """Return the geometric mean, a quarter of the larger where there is no smaller."""
    return math.sqrt(one * other) if min(one, other) > 0 else max(one, other) / 4
