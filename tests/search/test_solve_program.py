"""The mixed-integer program says what prices say of every plan, and keeps within any budget."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import forms, graph_of, random_formats, random_prices, spaces

from octavo.graph import Group
from octavo.plan import FP32, Plan
from octavo.search.probe import WORST
from octavo.search.solve import GAP, Solver
from octavo.search.space import Space

SEEDS = st.integers(0, 10_000)


def program_seconds(solver, formats):
    """Return the least cost of the program with the formats of all groups fixed."""
    places = [solver._places[name][one] for name, one in formats.items()]
    fixed = (dict.fromkeys(places, 1.0), float(len(places)), np.inf)
    values = solver._program.solve(fixed)
    return float(np.dot(solver._program.costs, values)) / 1e3


@settings(max_examples=150, deadline=None)
@given(spaces(), SEEDS, SEEDS, SEEDS)
def test_two_plans_differ_by_as_much_as_their_predicted_times(space, prices, one, two):
    """What the program leaves out is the same for all plans."""
    if not space.choices:
        return
    priced = random_prices(space, prices)
    solver = Solver(space, priced)
    first, second = (random_formats(space, seed) for seed in (one, two))
    predicted = [priced.predict(space.graph, space.plan(plan)).seconds for plan in (first, second)]
    counted = [program_seconds(solver, plan) for plan in (first, second)]
    assert counted[0] - counted[1] == pytest.approx(predicted[0] - predicted[1], abs=1e-8)


def every_plan(space):
    names = list(space.choices)
    for formats in itertools.product(*space.choices.values()):
        yield space.plan(dict(zip(names, formats, strict=True)))


def random_errors(space, seed, spread):
    rng = np.random.default_rng(seed)
    return {
        name: {
            one: 0.0 if one.is_float else float(10 ** rng.uniform(-spread, 0)) for one in formats
        }
        for name, formats in space.choices.items()
    }


@settings(max_examples=40, deadline=None)
@given(spaces(most=5), SEEDS, st.floats(0, 1), st.sampled_from([2, 12]))
def test_no_plan_within_a_budget_is_faster(space, seed, share, spread):
    if not space.choices:
        return
    prices, errors = random_prices(space, seed), random_errors(space, seed, spread)
    solver, plans = Solver(space, prices, errors), list(every_plan(space))
    counted = sorted(map(solver.error, plans))
    budget = counted[int(share * (len(counted) - 1))]
    found = solver.solve(budget)
    best = min(
        prices.predict(space.graph, plan).seconds for plan in plans if solver.error(plan) <= budget
    )
    assert found.error <= budget * (1 + 1e-5)
    assert found.seconds <= best * (1 + 2 * GAP) + 1e-8


@settings(max_examples=25, deadline=None)
@given(spaces(most=5), SEEDS)
def test_a_front_ends_where_the_groups_that_have_to_be_quantized_end(space, seed):
    if not space.choices:
        return
    solver = Solver(space, random_prices(space, seed), random_errors(space, seed, 4))
    front = solver.front(5)
    forced = [name for name, formats in space.choices.items() if FP32 not in formats]
    for solution in front:
        assert set(forced) <= solution.plan.formats.keys()
    for faster, slower in itertools.pairwise(front):
        assert faster.seconds < slower.seconds
        assert faster.error > slower.error
    assert front[0].seconds == solver.solve().seconds


def chain(count):
    groups = [
        Group(f"g{i}", "matmul", "compute", (f"g{i}",), (f"t{i - 1}" if i else "x",), (f"t{i}",))
        for i in range(count)
    ]
    sizes = {"x": 1000, **{f"t{i}": 1000 for i in range(count)}}
    formats = (FP32, forms(1, 1)[3])
    graph = graph_of(groups, sizes, [f"t{count - 1}"])
    return Space(graph, {group.id: formats for group in groups}, {})


def test_a_group_that_breaks_the_outputs_does_not_hide_the_errors_of_others():
    """Beside an error of 1e6 those of the others are below the solver's tolerance."""
    space = chain(10)
    chosen = space.choices["g0"][1]
    errors = {name: {chosen: 1e-3} for name in space.choices} | {"g0": {chosen: WORST}}
    prices = random_prices(space, 0)
    faster = np.where([name.endswith("fp32") for name in prices.names], 2e-3, 1e-3)
    solver = Solver(space, type(prices)(prices.names, faster, prices.covariance, 0.0), errors)
    assert len(solver.solve().plan.formats) == 10
    within = solver.solve(3.5e-3)
    assert len(within.plan.formats) == 3
    assert "g0" not in within.plan.formats


def test_a_budget_of_nothing_leaves_what_loses_nothing():
    space = chain(4)
    chosen = space.choices["g0"][1]
    errors = {"g0": {chosen: 1e-12}, "g1": {chosen: 0.5}, "g2": {chosen: 0.0}}
    prices = random_prices(space, 0)
    faster = np.where([name.endswith("fp32") for name in prices.names], 2e-3, 1e-3)
    solver = Solver(space, type(prices)(prices.names, faster, prices.covariance, 0.0), errors)
    assert set(solver.solve(0.0).plan.formats) == {"g2", "g3"}


def test_a_front_of_groups_that_lose_nothing_is_one_plan():
    space = chain(3)
    solver = Solver(space, random_prices(space, 1))
    (only,) = solver.front()
    assert only.error == 0.0
    times = [
        random_prices(space, 1).predict(space.graph, plan).seconds for plan in every_plan(space)
    ]
    assert only.seconds <= min(times) * (1 + GAP)


def test_one_quantizer_serves_readers_and_is_paid_by_the_side_of_those_that_ask():
    """The convolution may ask for integers and does not; then the quantizer is a flat one."""
    readers = [
        Group("conv", "conv", "compute", ("conv",), ("t",), ("a",), (), "conv"),
        Group("one", "matmul", "compute", ("one",), ("t",), ("b",), (), "one"),
        Group("two", "matmul", "compute", ("two",), ("t",), ("c",), (), "two"),
    ]
    first = Group("first", "add", "float", ("first",), ("x",), ("t",), (), "first")
    graph = graph_of([first, *readers], dict.fromkeys("xtabc", 1000), list("abc"))
    static = forms(1, 1)[1]
    space = Space(graph, {group.id: (FP32, static) for group in readers}, {})
    prices = random_prices(space, 2)
    solver = Solver(space, prices)
    both = {"conv": FP32, "one": static, "two": static}
    none = dict.fromkeys(both, FP32)
    difference = program_seconds(solver, both) - program_seconds(solver, none)
    change = sum(prices.group(g, static) - prices.group(g, FP32) for g in readers[1:])
    quantizer = prices.of("quantize flat>flat") / 1000
    assert difference == pytest.approx(change + quantizer, rel=1e-6)
    assert prices.predict(graph, Plan(both)).seconds - prices.predict(
        graph, Plan()
    ).seconds == pytest.approx(difference, rel=1e-6)
