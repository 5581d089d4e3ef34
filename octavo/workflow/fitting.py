"""The plan with as much label-free error as is allowed: solved for and measured in turns.

Sums of sensitivities are off by some factor. It is learned from each plan that is measured, and the
budget that is solved for follows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from octavo.errors import OctavoError
from octavo.search.candidates import Candidate
from octavo.workflow.prospect import Prospect
from octavo.workflow.recipes import decibels
from octavo.workflow.reporter import Reporter

CLOSE = 1.1
"""How much more error than allowed is close enough."""

NEAR = 0.75
"""A plan with at least this share of the allowed error is not improved on."""

NEARLY = 1.01
"""A gain that is not this much above another is the same."""

STEP = 8.0
"""The most by which a budget grows at once."""

MEASURED = 5
CORRECTED = 3
"""How many solved plans are measured for one that is evaluated, and how many where each has to be
corrected first."""

SOLVED = 16
"""How many budgets are solved for, at most: many give a plan that is known."""


@dataclass(frozen=True)
class Form:
    """A plan to solve from.

    Attributes:
        candidate: gives the recipe.
        error: its label-free error, which tells how far off predictions are.
    """

    candidate: Candidate
    error: float


class Fitting:
    """Finds plans by their measured error; each is measured and reported once."""

    def __init__(self, prospect: Prospect, reporter: Reporter) -> None:
        """Prepare it.

        Args:
            prospect: solves for plans and measures them.
            reporter: is told of each plan.
        """
        self._prospect = prospect
        self._reporter = reporter
        self._known: list[tuple[Candidate, float]] = []

    def fit(self, base: Form, allowed: float) -> Candidate:
        """Return the plan with the most gain whose error is allowed, else that with least error.

        Args:
            base: what to solve from.
            allowed: the error.

        Raises:
            OctavoError: no plan can be solved for or built.
        """
        prospect, candidate = self._prospect, base.candidate
        ceiling = prospect.gain(prospect.solve(candidate, None).plan)
        off = _over(base.error, prospect.predicted_error(candidate.plan))
        search = _Bisection(allowed, ceiling, allowed / off)
        most = len(self._known) + (CORRECTED if candidate.plan.recipe.corrections else MEASURED)
        for _ in range(SOLVED):
            try:
                solved = prospect.solve(candidate, search.budget)
                error = self._error(solved, allowed)
            except OctavoError:
                if search.found is None:
                    raise
                break
            search.add(
                solved, error, prospect.predicted_error(solved.plan), prospect.gain(solved.plan)
            )
            if search.ended or len(self._known) >= most:
                break
        assert search.found is not None
        return search.found

    def _error(self, solved: Candidate, allowed: float) -> float:
        """Return the error of a plan, which is reported when it is first measured."""
        for known, error in self._known:
            if known.plan == solved.plan:
                return error
        if not solved.plan.formats:
            return 0.0
        error = self._prospect.error(solved)
        self._known.append((solved, error))
        gain = self._prospect.in_words(self._prospect.gain(solved.plan))
        self._reporter.say(
            f"solved: {len(solved.quantized)} groups in INT8, {gain} predicted, "
            f"{decibels(error)} at the outputs, {decibels(allowed)} allowed"
        )
        return error


@dataclass
class _Bisection:
    """The budget that gives a plan with the allowed error.

    Attributes:
        allowed: the error.
        ceiling: the gain that no plan within the error surpasses.
        budget: what is to be solved for next.
        found: the best plan so far, by its gain if it is within the error, else by its error.
        ended: whether no other budget will give a better plan.
    """

    allowed: float
    ceiling: float
    budget: float
    found: Candidate | None = None
    ended: bool = False
    _merit: tuple[bool, float] = (False, -math.inf)
    _low: float = 0.0
    _high: float = math.inf

    def add(self, solved: Candidate, error: float, predicted: float, gain: float) -> None:
        """Take the plan of the budget into account."""
        within = error <= CLOSE * self.allowed
        merit = (within, gain if within else -error)
        if self.found is None or merit > self._merit:
            self.found, self._merit = solved, merit
        if within:
            self._low = self.budget
        else:  # all budgets from its predicted error on give this plan, or one that gains more
            self._high, self.ceiling = min(self.budget, predicted), gain
        self.ended = (
            (within and error >= NEAR * self.allowed)
            or (self._merit[0] and self._merit[1] * NEARLY >= self.ceiling)
            or self._high <= self._low * CLOSE
        )
        guess = min(self.allowed / _over(error, predicted), self.budget * STEP)
        self.budget = self._next(guess)

    def _next(self, guess: float) -> float:
        """Return a guess, or a budget between where that is outside of what is known."""
        if self._low < guess < self._high:
            return guess
        if self._high < math.inf:
            return math.sqrt(self._low * self._high) if self._low else self._high / 2
        return 2 * self._low


def _over(measured: float, predicted: float) -> float:
    """Return by which factor a prediction was off, 1 where that cannot be told."""
    return measured / predicted if measured > 0 and predicted > 0 else 1.0
