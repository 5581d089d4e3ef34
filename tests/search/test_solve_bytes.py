"""Plans of the fewest bytes within a budget, and of those the fastest."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import random_formats, random_prices, spaces

from octavo.plan import FP32
from octavo.search.footprint import Footprint
from octavo.search.solve import GAP, Solver

SEEDS = st.integers(0, 10_000)
OBJECTIVES = st.sampled_from(["size", "memory"])
TIED = 1e-8
"""Share of the bytes within which two plans have as many for the solver."""


def weighed(space, seed):
    """Return the space with weights for most operators, some of them shared, and its footprint."""
    rng = np.random.default_rng(seed)
    shapes = {f"w{i}": (int(rng.integers(1, 30)), int(rng.integers(1, 60))) for i in range(4)}
    names = sorted(shapes)
    ops = [
        replace(op, weights=tuple(names[int(i)] for i in rng.integers(4, size=rng.integers(0, 2))))
        for op in space.graph.ops
    ]
    space = replace(space, graph=replace(space.graph, ops=tuple(ops)))
    return space, Footprint(space.graph, shapes)


def errors_of(space, seed):
    rng = np.random.default_rng(seed)
    return {
        name: {one: 0.0 if one.is_float else float(rng.lognormal(-3, 1)) for one in formats}
        for name, formats in space.choices.items()
    }


def every_plan(space):
    for formats in itertools.product(*space.choices.values()):
        yield space.plan(dict(zip(space.choices, formats, strict=True)))


def bytes_of(sizes, objective, plan):
    return sizes.memory(plan) if objective == "memory" else sizes.weights(plan)


@settings(max_examples=60, deadline=None)
@given(spaces(most=5), SEEDS, OBJECTIVES, st.floats(0, 1))
def test_no_plan_within_a_budget_has_fewer_bytes_and_none_of_as_many_is_faster(
    space, seed, objective, share
):
    if not space.choices:
        return
    space, sizes = weighed(space, seed)
    prices, errors = random_prices(space, seed), errors_of(space, seed)
    solver = Solver(space, prices, errors, objective=objective, footprint=sizes)
    plans = list(every_plan(space))
    counted = sorted(map(solver.error, plans))
    budget = counted[int(share * (len(counted) - 1))]
    found = solver.solve(budget)
    allowed = [plan for plan in plans if solver.error(plan) <= budget]
    fewest = min(bytes_of(sizes, objective, plan) for plan in allowed)
    assert found.cost == pytest.approx(bytes_of(sizes, objective, found.plan))
    assert found.cost <= fewest * (1 + 2 * GAP)
    assert found.error <= budget * (1 + 1e-5)
    seconds = [
        prices.predict(space.graph, plan).seconds
        for plan in allowed
        if bytes_of(sizes, objective, plan) <= found.cost * (1 - TIED)
    ]
    assert found.seconds <= min(seconds, default=np.inf) * (1 + 2 * GAP) + 1e-8


@settings(max_examples=100, deadline=None)
@given(spaces(), SEEDS, SEEDS, SEEDS, OBJECTIVES)
def test_two_plans_differ_by_as_many_bytes_in_the_program(space, seed, one, two, objective):
    if not space.choices:
        return
    space, sizes = weighed(space, seed)
    prices = random_prices(space, 0)
    solver = Solver(space, prices, objective=objective, footprint=sizes)
    unit = 1e-3 * bytes_of(sizes, objective, space.plan({}))
    counted, expected = [], []
    for drawn in (one, two):
        formats = random_formats(space, drawn)
        places = [solver._places[name][chosen] for name, chosen in formats.items()]
        fixed = (dict.fromkeys(places, 1.0), float(len(places)), np.inf)
        values = solver._program.solve(fixed, costs=solver._bytes)
        counted.append(unit * sum(n * values[place] for place, n in solver._bytes.items()))
        expected.append(bytes_of(sizes, objective, space.plan(formats)))
    assert counted[0] - counted[1] == pytest.approx(expected[0] - expected[1], abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(spaces(most=5), SEEDS, OBJECTIVES)
def test_a_front_of_bytes_trades_them_for_error(space, seed, objective):
    if not space.choices:
        return
    space, sizes = weighed(space, seed)
    errors = errors_of(space, seed)
    solver = Solver(space, random_prices(space, seed), errors, objective=objective, footprint=sizes)
    front = solver.front(5)
    for less, more in itertools.pairwise(front):
        assert less.cost < more.cost
        assert less.error > more.error
    assert front[0].cost <= solver.solve().cost


def test_slow_integers_are_taken_where_they_are_small_and_fast_floats_where_nothing_is_saved():
    space, sizes = weighed(next_space(), 1)
    prices = random_prices(space, 3)
    slow = np.where([name.endswith("fp32") for name in prices.names], 1e-3, 9e-3)
    slow = type(prices)(prices.names, slow, prices.covariance, 0.0)
    assert Solver(space, slow).solve().plan.formats == {}
    small = Solver(space, slow, objective="size", footprint=sizes).solve().plan
    assert set(small.formats) == {op.name for op in space.graph.ops if op.weights}
    fast = np.where([name.endswith("fp32") for name in prices.names], 9e-3, 1e-3)
    fast = type(prices)(prices.names, fast, prices.covariance, 0.0)
    both = Solver(space, fast, objective="size", footprint=sizes).solve().plan
    assert set(both.formats) == set(space.choices)


def next_space():
    """Return a chain of products, in float or static with floats made."""
    from test_solve_program import chain

    space = chain(6)
    floats = {
        name: (FP32, replace(one, outputs=(None,))) for name, (_, one) in space.choices.items()
    }
    return replace(space, choices=floats)


def test_bytes_need_a_footprint():
    space = next_space()
    with pytest.raises(ValueError, match="needs the footprint"):
        Solver(space, random_prices(space, 0), objective="size")
