"""Standard errors of predictions say how far they are off, over many made-up machines."""

import numpy as np
from random_spaces import forms, graph_of, random_prices

from octavo.graph import Group
from octavo.plan import FP32, Plan
from octavo.search.price.features import RUN, border_features
from octavo.search.price.fit import POOLING, fit
from octavo.search.price.plans import next_plan, plan_features, random_plan
from octavo.search.price.prices import Prices
from octavo.search.price.profiles import PlanProfile
from octavo.search.space import Space

ELEMENTS = 100_000
NOISE = 0.03


def chain(count, **sizes):
    """Return a space of convolutions and products in turn; each reads the one before it."""
    kinds = [("conv", "conv", "matmul")[number % 3] for number in range(count)]
    groups = [
        Group(
            f"g{i}", kind, "compute", (f"g{i}",), (f"t{i}",), (f"t{i + 1}",), (), f"{kind}{i % 5}"
        )
        for i, kind in enumerate(kinds)
    ]
    usual = {f"t{i}": ELEMENTS for i in range(count + 1)}
    graph = graph_of(groups, usual | sizes, [f"t{count}"])
    static, float_output, _, dynamic, _ = forms(1, 1)
    return Space(graph, {g.id: (FP32, static, float_output, dynamic) for g in groups}, {})


def machine(space, seed):
    """Return true prices: 0.2 to 2 ms for a group, about a tenth of that for a border."""
    drawn, rng = random_prices(space, seed), np.random.default_rng(seed)
    seconds = np.where(
        [">" in name and "-" not in name.split(" ")[0] for name in drawn.names],
        rng.uniform(0.5e-3, 1e-3, len(drawn.names)),
        rng.uniform(0.2e-3, 2e-3, len(drawn.names)),
    )
    seconds[drawn.index[RUN]] = 20e-6
    reorders = [place for name, place in drawn.index.items() if name.startswith("reorder")]
    seconds[reorders] = 0.1e-3
    return Prices(drawn.names, seconds, drawn.covariance, 0.0)


def profiled(space, plan, truth, rng):
    """Return what a profiler shows of a plan, each figure with noise of its own."""

    def shown(seconds):
        return float(seconds * (1 + NOISE * rng.standard_normal()))

    groups = {g.id: shown(truth.group(g, plan.format(g.id))) for g in space.graph.groups}
    borders = sum(n * truth.of(name) for name, n in border_features(space.graph, plan).items())
    whole = truth.predict(space.graph, plan).seconds
    return PlanProfile(plan, shown(whole), groups, shown(borders))


def priced(space, truth, seed, plans=12):
    rng = np.random.default_rng(seed)
    chosen, seen = [Plan()], plan_features(space, Plan())
    while len(chosen) < plans:
        chosen.append(next_plan(space, rng, seen))
        seen |= plan_features(space, chosen[-1])
    return fit(space.graph, [profiled(space, plan, truth, rng) for plan in chosen])


def test_predictions_are_as_far_off_as_their_standard_errors_say():
    space = chain(15)
    scores, errors = [], []
    for seed in range(25):
        truth, rng = machine(space, seed), np.random.default_rng(1000 + seed)
        prices = priced(space, truth, seed)
        assert (prices.seconds >= 0).all()
        for plan in (random_plan(space, rng) for _ in range(20)):
            cost = prices.predict(space.graph, plan)
            real = truth.predict(space.graph, plan).seconds
            scores.append((cost.seconds - real) / cost.error)
            errors.append(cost.seconds / real - 1)
    assert np.abs(errors).max() < 0.15
    assert np.mean(np.abs(errors)) < 0.03
    assert 0.4 < np.sqrt(np.mean(np.square(scores))) < 1.3
    assert np.mean(np.abs(scores) < 2) > 0.93


def test_a_border_that_was_seen_at_a_small_tensor_alone_is_as_sure_as_the_pool_makes_it():
    """Ten elements tell nothing of what a border costs; borders of other kinds do."""
    space, rng = chain(7, t3=10), np.random.default_rng(0)
    truth = machine(space, 0)
    chosen = {name: options[1] for name, options in space.choices.items()}
    runs = [["g2"], ["g5", "g6"]]
    plans = [Plan(), *(Plan({name: chosen[name] for name in names}) for names in runs)]
    small, large = (border_features(space.graph, Plan({n: chosen[n]})) for n in ("g2", "g5"))
    name = "dequantize flat>spatial"
    assert 1000 * small[name] < large[name]
    prices = fit(space.graph, [profiled(space, plan, truth, rng) for plan in plans])
    place = prices.index[name]
    error = np.sqrt(prices.covariance[place, place])
    assert 0.5 * POOLING * prices.of(name) < error < 2 * POOLING * prices.of(name)
    cost = prices.predict(space.graph, Plan({"g5": chosen["g5"]}))
    real = truth.predict(space.graph, Plan({"g5": chosen["g5"]})).seconds
    assert abs(cost.seconds - real) < 2 * cost.error < 0.2 * real
