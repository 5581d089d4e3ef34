"""How often the whole walk is wrong where every plan loses exactly what is tolerated.

Each run draws new evaluation data of ten classes, sorted by class, of which two bear all the loss;
three plans are judged on the search part, looked at after every sample; the one that did best there
is proven, with and without counting what the first plan showed on the search part. Nothing may be
proven more often than in 5 % of the runs.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from octavo.arrays import FloatArray
from octavo.search.prove import Margin, Trial, Walk
from octavo.search.prove.walk import ALPHA
from octavo.tolerance import Tolerance

RUNS = 10_000
SAMPLES, PLANS = 1200, 3
MARGIN = Margin(Tolerance(0.01, relative=True), bounds=(0.0, 1.0))
RIGHT, GAINED = 0.76, 0.003
CLASSES = np.sort(np.arange(SAMPLES) % 10)


class Scores(NamedTuple):
    """float64 `[SAMPLES]` and `[PLANS, SAMPLES]`, sorted by class."""

    fp32: FloatArray
    int8: FloatArray


class Run(NamedTuple):
    proven: bool
    proven_counting_first: bool
    accepted_wrongly: bool
    best: FloatArray
    """The differences of the chosen plan on the part to prove on, in order."""


def draw(random: np.random.Generator, drop: float) -> Scores:
    """Draw data whose expected drop is that many tolerances, `drop` = 1 at the tolerance.

    The share of samples of each class is random as well, so that samples are independent draws.
    """
    classes = np.sort(random.integers(0, 10, SAMPLES))
    fp32 = (random.random(SAMPLES) < RIGHT).astype(np.float64)
    lost = drop * MARGIN.tolerance.value + GAINED * (1 - RIGHT) / RIGHT  # of FP32's right ones
    u = random.random((PLANS, SAMPLES))
    loses = (fp32 == 1) & (u < np.where(classes >= 8, 5 * lost, 0.0))
    return Scores(fp32, np.where(loses, 0.0, np.where((fp32 == 0) & (u < GAINED), 1.0, fp32)))


def judge(trial: Trial, fp32: FloatArray, int8: FloatArray) -> Trial:
    while trial.decision == "continue":
        indices = trial.next(SAMPLES)
        trial.add(fp32[indices], int8[indices])
    return trial


def walk(seed: int, drop: float) -> Run:
    fp32, int8 = draw(np.random.default_rng([seed, int(2 * drop)]), drop)
    steps = Walk(SAMPLES, MARGIN, seed=seed)
    trials = [judge(steps.trial(), fp32, scores) for scores in int8]
    beyond = [MARGIN.of(fp32, scores).mean() < 0 for scores in int8]
    wrong = any(
        one.shown and one.decision == "accept" and loses
        for one, loses in zip(trials, beyond, strict=True)
    )
    best = max(
        range(PLANS), key=lambda plan: (trials[plan].decision == "accept", trials[plan].mean)
    )
    order = steps.order("proof")
    return Run(
        proves(steps, trials[best], fp32, int8[best]),
        proves_counting_first(seed, trials[best], best, fp32, int8[best]),
        wrong,
        MARGIN.of(fp32[order], int8[best][order]),
    )


def proves(steps: Walk, winner: Trial, fp32: FloatArray, int8: FloatArray) -> bool:
    judge(steps.prove(winner), fp32, int8)
    return steps.conclusion().verdict == "proven"


def proves_counting_first(
    seed: int, trial: Trial, plan: int, fp32: FloatArray, int8: FloatArray
) -> bool:
    """Walk again with that switch; of the plans before the winner only their number matters."""
    steps = Walk(SAMPLES, MARGIN, seed=seed, first_counts=True)
    winner = [steps.trial() for _ in range(plan + 1)][plan]
    winner.add(fp32[trial.seen], int8[trial.seen])
    return proves(steps, winner, fp32, int8)


@cache
def runs() -> list[Run]:
    return [walk(seed, drop=1.0) for seed in range(RUNS)]


def too_often(wrong: int) -> bool:
    """Return whether a rate of `ALPHA` would give so many in less than one of a hundred cases."""
    return bool(binomtest(wrong, RUNS, ALPHA, alternative="greater").pvalue < 0.01)


def test_the_data_lose_what_is_tolerated() -> None:
    best = np.array([MARGIN.of(*pair).mean() for pair in drawn_pairs()])
    assert abs(best.mean()) < 4 * best.std() / len(best) ** 0.5


def drawn_pairs() -> list[tuple[FloatArray, FloatArray]]:
    found = [draw(np.random.default_rng(seed), 1.0) for seed in range(2000)]
    return [(one.fp32, one.int8[0]) for one in found]


@pytest.mark.parametrize("counted", ["proven", "proven_counting_first"])
def test_the_walk_proves_no_more_than_it_states(counted: str) -> None:
    proven = sum(getattr(run, counted) for run in runs())
    assert not too_often(proven)
    assert proven > 0.005 * RUNS  # the error that is allowed is used in part


def test_no_plan_is_accepted_against_the_full_evaluation_more_often_than_stated() -> None:
    assert not too_often(sum(run.accepted_wrongly for run in runs()))


def test_peeking_with_a_t_test_fails_the_same_check() -> None:
    """The usual way: after every 50 samples, is the lower end of the interval above 0?"""
    x = np.stack([run.best for run in runs()])
    found = np.zeros(RUNS, dtype=bool)
    for count in range(100, x.shape[1] + 1, 50):
        part = x[:, :count]
        error = part.std(axis=1, ddof=1) / count**0.5
        found |= part.mean(axis=1) > student.isf(ALPHA, count - 1) * error
    assert too_often(int(found.sum()))


def test_models_that_lose_nothing_are_proven_in_most_walks() -> None:
    found = [walk(seed, drop=0.0) for seed in range(200)]
    assert np.mean([run.proven for run in found]) > 0.6


@pytest.mark.parametrize("sorted_by_class", [True, False])
def test_data_in_their_own_order_would_fool_the_sequence(sorted_by_class: bool) -> None:
    """Which is why the order is random: the loss comes last."""
    fp32, int8 = np.ones(SAMPLES), np.where(CLASSES == 9, 0.7, 1.0)
    steps = Walk(SAMPLES, MARGIN)
    trial = steps.trial()
    order = np.arange(SAMPLES) if sorted_by_class else steps.order("search")
    first = order[: SAMPLES // 2]
    trial.add(fp32[first], int8[first])
    assert trial.decision == ("accept" if sorted_by_class else "reject")
