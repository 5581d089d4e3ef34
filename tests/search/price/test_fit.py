import numpy as np
import pytest
from chains import chain, profiled, space_of, true_prices

from octavo.plan import Plan
from octavo.search.price.features import RUN, border_features, features, group_feature
from octavo.search.price.fit import fit, known_prices
from octavo.search.price.plans import next_plan, plan_features, random_plan, wanted_features


def world(count=16, seed=0):
    graph = chain(count, seed)
    space = space_of(graph)
    rng = np.random.default_rng(seed)
    many = [random_plan(space, rng) for _ in range(80)]
    return graph, space, many, true_prices(graph, [Plan(), *many], seed)


def whole(space, place=1):
    return space.plan({k: one[min(place, len(one) - 1)] for k, one in space.choices.items()})


@pytest.mark.parametrize("seed", range(3))
def test_prices_of_few_plans_predict_others_and_know_how_well(seed):
    graph, space, many, _ = world(seed=seed)
    rng = np.random.default_rng(seed)
    plans = [Plan(), whole(space)]
    for _ in range(10):
        seen = set.union(*(plan_features(space, plan) for plan in plans))
        plans.append(next_plan(space, rng, seen))
    truth = true_prices(graph, [*plans, *many], seed)
    prices = fit(graph, [profiled(graph, plan, truth, rng, 0.02) for plan in plans])
    assert (prices.seconds >= 0).all()
    errors, scores = [], []
    for plan in many[40:]:
        cost, real = prices.predict(graph, plan), truth.predict(graph, plan).seconds
        errors.append(cost.seconds / real - 1)
        scores.append((cost.seconds - real) / cost.error)
    assert np.abs(errors).max() < 0.15
    assert np.mean(np.abs(scores) < 2) > 0.8
    assert prices.float_seconds == pytest.approx(truth.predict(graph, Plan()).seconds, rel=0.1)


def test_prices_are_exact_where_profiles_are():
    graph, space, many, truth = world(8, 4)
    plans = [Plan(), whole(space), *many[:30]]
    prices = fit(graph, [profiled(graph, plan, truth) for plan in plans])
    for plan in many[40:60]:
        real = truth.predict(graph, plan).seconds
        assert prices.predict(graph, plan).seconds == pytest.approx(real, rel=0.03)


def test_known_prices_stand_in_for_plans_that_were_not_profiled():
    graph, space, many, truth = world(seed=2)
    known = known_prices(truth)
    assert RUN not in known
    plans = [Plan(), whole(space), many[0]]
    profiles = [profiled(graph, plan, truth) for plan in plans]
    with_known, without = fit(graph, profiles, known), fit(graph, profiles)

    def worst(prices):
        return max(
            abs(prices.predict(graph, p).seconds / truth.predict(graph, p).seconds - 1)
            for p in many[40:]
        )

    assert worst(with_known) < worst(without)


def test_a_variant_that_was_not_seen_costs_what_its_kin_do():
    graph, space, _, truth = world(8, 1)
    group = next(g for g in graph.groups if len(space.choices[g.id]) == 4)
    _, integers, floats, dynamic = space.choices[group.id]
    prices = fit(graph, [profiled(graph, Plan(), truth),
                         profiled(graph, space.plan({group.id: integers}), truth)])  # fmt: skip
    assert prices.knows(group_feature(group, integers))
    assert not prices.knows(group_feature(group, floats))
    assert prices.group(group, floats) == prices.group(group, integers)
    assert prices.group(group, dynamic) == prices.group(group, space.choices[group.id][0])


def test_borders_are_counted_where_numbers_change_their_form():
    graph = chain(6, 0)
    space = space_of(graph)
    assert not any(name.startswith(("quantize", "dequantize"))
                   for name in border_features(graph, Plan()))  # fmt: skip
    group = graph.groups[0]
    reader = graph.readers(group)[0]
    alone = border_features(graph, space.plan({group.id: space.choices[group.id][1]}))
    entering = sum(amount for name, amount in alone.items() if name.startswith("quantize"))
    leaving = sum(amount for name, amount in alone.items() if name.startswith("dequantize"))
    size = {name: np.prod(tensor.shape) / 1e6 for name, tensor in graph.tensors.items()}
    assert entering == pytest.approx(size["in"])
    assert leaving == pytest.approx(size[group.id] * len(graph.readers(group)))
    both = {one.id: space.choices[one.id][1] for one in (group, reader)}
    joined = border_features(graph, space.plan(both))
    readers = len(graph.readers(group))
    dequantized = sum(v for k, v in joined.items() if k.startswith("dequantize"))
    after = size[reader.id] * max(1, len(graph.readers(reader)))
    assert dequantized == pytest.approx(size[group.id] * (readers - 1) + after)
    dynamic = next(g for g in graph.groups if len(space.choices[g.id]) == 4)
    found = border_features(graph, space.plan({dynamic.id: space.choices[dynamic.id][3]}))
    assert not any(name.startswith(("quantize", "dequantize")) for name in found)


def test_mixed_plans_show_what_was_not_seen():
    graph, space, _, _ = world(20, 7)
    rng = np.random.default_rng(0)
    seen = plan_features(space, Plan())
    for _ in range(10):
        seen |= plan_features(space, next_plan(space, rng, seen))
    assert seen <= wanted_features(space)
    assert len(seen) > 0.9 * len(wanted_features(space))
    assert features(graph, Plan())[RUN] == 1
