"""Which range method and which corrections a whole plan is tried with, found without labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from octavo.correct.pipeline import SCALING
from octavo.plan import CORRECTIONS, Correction
from octavo.search.candidates import Candidate
from octavo.search.halving import Alternative, Meter, Ranked, halve
from octavo.workflow.reporter import Reporter

CLEARLY = 0.8
"""A range method has to have less than this share of the error of the first to be preferred."""

FORMS: tuple[tuple[Correction, ...], ...] = (SCALING, CORRECTIONS)
"""The corrections that are tried together, what takes least time first. Rounding and shifting take
three times as long as scaling, and by themselves bring less; each is kept only where it helps."""


def best_ranges(plans: Sequence[Candidate], meter: Meter, reporter: Reporter) -> Candidate:
    """Return the plan with the range method that disturbs the outputs least, by halving.

    Ranges are compared without corrections, which take long to make.

    Args:
        plans: they differ in their ranges alone; the first is preferred.
        meter: measures errors without labels.
        reporter: is told them.
    """
    with reporter.track("comparing range methods without labels", None):
        found = halve(map(_plain, plans), meter, preferred=CLEARLY)
    for one in found.order:
        if one.reason is not None:
            reporter.warn(f"{one.alternative.name}: {one.reason}")
    if found.best is None:
        return plans[0]
    shown = ", ".join(_shown(one) for one in found.order if one.reason is None)
    reporter.say(f"SQNR of the outputs: {shown}; {found.forwards} sample forwards")
    return next(one for one in plans if _plain(one) == found.best.alternative)


def _plain(one: Candidate) -> Alternative:
    recipe = replace(one.plan.recipe, corrections=())
    return Alternative(one.name, replace(one.plan, recipe=recipe))


def _shown(one: Ranked) -> str:
    ranges = one.alternative.plan.recipe.ranges
    return f"{ranges} {decibels(one.error)} on {one.samples} samples"


def corrected_forms(best: Candidate, asked: Candidate) -> list[Candidate]:
    """Return a plan with some of the corrections, and then with all.

    Args:
        best: the plan.
        asked: one with all corrections that the job allows.
    """
    allowed = asked.plan.recipe.corrections
    forms = [tuple(name for name in form if name in allowed) for form in FORMS]
    return [_corrected(best, form, asked) for form in dict.fromkeys(forms) if form]


def _corrected(best: Candidate, form: tuple[Correction, ...], asked: Candidate) -> Candidate:
    whole = form == asked.plan.recipe.corrections
    name = f"{best.name} {'corrected' if whole else 'scaled'}"
    recipe = replace(best.plan.recipe, corrections=form)
    return replace(best, name=name, plan=replace(best.plan, recipe=recipe))


def decibels(error: float) -> str:
    """Return an error of noise over signal as decibels of signal over noise."""
    return f"{-10 * math.log10(error):.1f} dB" if error > 0 else "no error"
