import itertools

import numpy as np
import pytest
from chains import chain, space_of, true_prices
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.errors import OctavoError
from octavo.plan import FP32
from octavo.search.solve import GAP, Solver
from octavo.search.space import Space


def every_plan(space):
    names = list(space.choices)
    for formats in itertools.product(*(space.choices[name] for name in names)):
        yield space.plan(dict(zip(names, formats, strict=True)))


def drawn_sensitivity(space, seed):
    rng = np.random.default_rng(seed)
    return {
        name: {one: 0.0 if one.is_float else float(rng.lognormal(-5, 2)) for one in formats}
        for name, formats in space.choices.items()
    }


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_the_fastest_plan_of_all_is_found_for_any_budget(count, seed):
    graph = chain(count, seed)
    space = space_of(graph)
    plans = list(every_plan(space))
    prices = true_prices(graph, plans, seed)
    sensitivity = drawn_sensitivity(space, seed)
    solver = Solver(space, prices, sensitivity)
    cost = [prices.predict(graph, plan).seconds for plan in plans]
    error = [solver.error(plan) for plan in plans]
    for budget in (None, max(error), np.median(error), min(e for e in error if e > 0), 0.0):
        found = solver.solve(budget)
        best = min(
            seconds
            for seconds, one in zip(cost, error, strict=True)
            if budget is None or one <= budget * (1 + 1e-9)
        )
        assert found.seconds <= best * (1 + 2 * GAP)
        assert budget is None or found.error <= budget * (1 + 1e-6) + 1e-12
        assert found.seconds == pytest.approx(prices.predict(graph, found.plan).seconds)


def test_the_front_trades_time_for_error_and_nothing_on_it_is_dominated():
    graph = chain(12, 3)
    space = space_of(graph)
    prices = true_prices(graph, [space.plan({k: f[i % len(f)] for k, f in space.choices.items()})
                                 for i in range(4)], 3)  # fmt: skip
    front = Solver(space, prices, drawn_sensitivity(space, 3)).front(8)
    assert len(front) > 2
    for one, two in itertools.pairwise(front):
        assert one.seconds < two.seconds
        assert one.error > two.error


def test_a_group_without_float_among_its_choices_is_always_quantized():
    graph = chain(4, 1)
    space = space_of(graph)
    name = "g1"
    forced = Space(graph, {**space.choices, name: space.choices[name][1:]}, {})
    prices = true_prices(graph, list(every_plan(space)), 1)
    sensitivity = drawn_sensitivity(forced, 1)
    least = min(sensitivity[name].values())
    solver = Solver(forced, prices, sensitivity)
    assert not solver.solve(least).plan.format(name).is_float
    with pytest.raises(OctavoError, match="no plan satisfies the budget"):
        solver.solve(least / 2)


def test_a_graph_without_choices_stays_float():
    graph = chain(3)
    solver = Solver(Space(graph, {}, {}), true_prices(graph, [space_of(graph).plan({})]))
    assert solver.solve().plan.formats == {}
    assert len(solver.front()) == 1


def test_borders_keep_a_group_float_that_alone_would_be_faster():
    graph = chain(2, 5)
    space = space_of(graph)
    plans = list(every_plan(space))
    prices = true_prices(graph, plans, 5)
    free = Solver(space, prices).solve().plan
    dear = prices.seconds.copy()
    for place, one in enumerate(prices.names):
        if one.split(" ")[0] in ("quantize", "dequantize"):
            dear[place] = 10.0
    costly = type(prices)(prices.names, dear, prices.covariance, 0.0)
    kept = Solver(space, costly).solve().plan
    assert any(form.compute == "int8" for form in free.formats.values())
    assert all(form.compute != "int8" for form in kept.formats.values())
    assert kept.format("g0") == FP32 or kept.format("g0").compute == "int8_dynamic"
