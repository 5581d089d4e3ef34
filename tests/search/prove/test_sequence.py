"""Betting: golden values, martingales, and what a decision may depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from octavo.search.prove.bets import BOLDEST, Bets
from octavo.search.prove.judges import proof_bets
from octavo.search.prove.sequence import Levels, Sequence, Wealth, lower_bound

LOW, HIGH = -0.99, 1.0
VALUES = (0.01, 0.0, 1.0, -0.99)  # both right, both wrong, INT8 alone right, FP32 alone right
BETS = Bets.spread(200, 0.05, LOW, HIGH)
HEDGED = BETS.hedged(60, 0.05, LOW, np.array([0.01, -0.99, 1.0, 0.0]))

samples = st.lists(st.sampled_from(VALUES), min_size=1, max_size=40)


def wealth_by_hand(values: list[float], bets: Bets, population: int | None) -> float:
    """The definition, a bet and a sample at a time, in the capital itself."""
    total = 0.0
    for k, weight in enumerate(bets.weights):
        capital, before, squares = 1.0, 0.0, 0.0
        for seen, x in enumerate(values):
            null = 0.0 if population is None else (0.0 - before) / (population - seen)
            growth = 1.0 if population is None else population / (population - seen)
            if k < len(bets.fractions):
                bet = bets.fractions[k] / 0.99 * growth
            else:
                hedge = bets.hedge
                assert hedge is not None
                s = math.sqrt((hedge.squares + squares) / (hedge.count + seen))
                goal = norm.isf(hedge.level) * s * math.sqrt(hedge.horizon)
                spread = s * math.sqrt(hedge.horizon - seen)
                u = (before - goal) / spread
                bet = norm.pdf(u) / norm.cdf(u) / spread
            capital *= 1 + min(bet, BOLDEST / (null + 0.99)) * (x - null)
            before += x
            squares += x * x
        total += weight * capital
    return total


def wealth(
    values: list[float], bets: Bets, population: int | None = None, low: float = LOW
) -> float:
    found = Wealth(low, bets, population=population).add(np.array([values]))
    return float(np.exp(found[0, -1]))


@pytest.mark.parametrize("population", [None, 45])
def test_the_capital_is_that_of_the_definition(population: int | None) -> None:
    values = list(np.random.default_rng(3).choice(VALUES, 40, p=(0.6, 0.2, 0.1, 0.1)))
    bets = BETS if population else HEDGED
    assert wealth(values, bets, population) == pytest.approx(
        wealth_by_hand(values, bets, population), rel=1e-9
    )


def test_the_boldest_bet_proves_one_percent_by_as_many_samples_as_arithmetic_says() -> None:
    """Both models right on all: (1 + L * 0.01)^n = 20 with L = 0.98 / 0.99."""
    alone = Bets(np.array([BOLDEST]), np.array([1.0]))
    expected = math.ceil(math.log(20) / math.log1p(0.01 * BOLDEST / 0.99))
    logs = Wealth(LOW, alone).add(np.full((1, 400), 0.01))[0]
    assert int((logs >= math.log(20)).argmax()) + 1 == expected == 305


@settings(max_examples=60, deadline=None)
@given(history=samples, chance=st.floats(0.006, 0.3), hedged=st.booleans())
def test_nothing_is_won_in_expectation_where_the_mean_is_0(
    history: list[float], chance: float, hedged: bool
) -> None:
    """The next sample is +1, 0.01 or -0.99 with a mean of 0: the expectation is exact."""
    bets = HEDGED if hedged else BETS
    right = 0.5 * (1 - chance)
    up = (0.99 * chance - 0.01 * right) / 1.0  # so that the mean is 0
    chances = np.array([right, up, chance, 1 - right - up - chance])
    assert chances.min() >= 0
    after = [wealth([*history, value], bets) for value in (0.01, 1.0, -0.99, 0.0)]
    assert chances @ after == pytest.approx(wealth(history, bets), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.sampled_from(VALUES), min_size=3, max_size=30), data=st.data())
def test_nothing_is_won_in_expectation_from_a_population_of_mean_0(
    values: list[float], data: st.DataObject
) -> None:
    """Any of those left comes next with the same chance."""
    centered = np.array(values) - np.mean(values)
    seen = data.draw(st.integers(1, len(values) - 1))
    history, left = list(centered[:seen]), centered[seen:]
    population, low = len(values), -2.0
    after = [wealth([*history, value], BETS, population, low) for value in left]
    assert np.mean(after) == pytest.approx(wealth(history, BETS, population, low), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(values=samples, data=st.data(), finite=st.booleans())
def test_splitting_into_batches_changes_nothing(
    values: list[float], data: st.DataObject, finite: bool
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    population, bets = (60, BETS) if finite else (None, HEDGED)
    whole = Wealth(LOW, bets, population=population).add(np.array([values]))
    split = Wealth(LOW, bets, population=population)
    parts = [split.add(np.array([part]).reshape(1, -1)) for part in (values[:cut], values[cut:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.sampled_from(VALUES), min_size=2, max_size=40), data=st.data())
def test_bets_do_not_know_what_comes_after(values: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(values)))
    rest = data.draw(st.permutations(values[cut:]))
    for bets, population in ((HEDGED, None), (BETS, 60)):
        first, second = (
            Wealth(LOW, bets, population=population).add(np.array([one]))[0, :cut]
            for one in (values, [*values[:cut], *rest])
        )
        np.testing.assert_array_equal(first, second)


@settings(max_examples=40, deadline=None)
@given(values=samples, data=st.data())
def test_constant_bets_end_alike_in_any_order(values: list[float], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(values))
    assert wealth(values, BETS) == pytest.approx(wealth(list(shuffled), BETS), rel=1e-9)


def test_runs_do_not_touch_each_other() -> None:
    x = np.random.default_rng(0).choice(VALUES, (5, 50))
    together = Wealth(LOW, HEDGED, runs=5).add(x)
    alone = np.concatenate([Wealth(LOW, HEDGED).add(row[None]) for row in x])
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def sequence(population: int | None, runs: int = 1, samples: int = 200) -> Sequence:
    bets = (
        proof_bets((LOW, HIGH), 0.05, samples, None),
        proof_bets((-HIGH, -LOW), 0.05, samples, None),
    )
    return Sequence((LOW, HIGH), Levels(0.05, 0.05), bets, population=population, runs=runs)


def test_after_all_samples_of_a_population_the_mean_is_known() -> None:
    values = np.tile([-0.99] + [0.01] * 99, (2, 1))
    values[1, -1] = 0.0
    found = sequence(100, runs=2)
    found.add(values)
    assert values.sum(axis=1) == pytest.approx([0.0, -0.01], abs=1e-12)
    assert found.side.tolist() == [1, -1]
    assert found.at.tolist() == [100, 100]


def test_what_is_left_cannot_turn_round_is_shown_before_the_end() -> None:
    """80 gains of 1 of a population of 100: the worst rest is -19.8."""
    found = sequence(100)
    found.add(np.ones((1, 80)))
    assert found.side[0] == 1
    assert found.at[0] < 40


def test_a_decision_stays() -> None:
    found = sequence(None)
    found.add(np.ones((1, 30)))
    at = found.at[0]
    found.add(np.full((1, 300), LOW))
    assert (found.side[0], found.at[0]) == (1, at)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_mean_at_0_is_taken_for_either_side_as_rarely_as_stated(sign: int) -> None:
    rng = np.random.default_rng(7)
    chances = (0.75, 0.2275, 0.0075, 0.0151515151515)
    chances = np.array(chances) / sum(chances)
    x = rng.choice(VALUES, (4000, 400), p=chances)
    x = x - chances @ VALUES  # the mean is exactly 0, the bounds hardly move
    bound = (LOW - 0.01, HIGH + 0.01)
    bets = (proof_bets(bound, 0.05, 400, np.empty(0)), proof_bets((-1.01, 1.0), 0.05, 400, None))
    found = Sequence(bound, Levels(0.05, 0.05), bets, runs=4000)
    found.add(x)
    assert (found.side == sign).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    assert (found.side == sign).mean() > 0.001  # it can be wrong at all


@pytest.mark.parametrize("population", [None, 300])
def test_the_bound_is_below_the_mean_as_often_as_stated(population: int | None) -> None:
    rng = np.random.default_rng(11)
    values = np.array([0.01] * 270 + [0.0] * 20 + [-0.99] * 6 + [1.0] * 4)
    wrong = 0
    for _ in range(200):
        drawn = rng.choice(values, 150, replace=population is None)
        wrong += lower_bound(drawn, (LOW, HIGH), 0.1, population=population) > values.mean()
    assert wrong <= 32  # 20 expected at most; 3 standard deviations


def test_the_bound_of_many_samples_is_near_the_mean() -> None:
    drawn = np.random.default_rng(1).choice(VALUES, 20_000, p=(0.76, 0.22, 0.01, 0.01))
    found = lower_bound(drawn, (LOW, HIGH), 0.05)
    assert drawn.mean() - 0.004 < found < drawn.mean()


def test_the_bound_without_samples_is_the_least_value() -> None:
    assert lower_bound(np.empty(0), (LOW, HIGH), 0.05) == pytest.approx(LOW)
