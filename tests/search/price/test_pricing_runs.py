"""Which plans are profiled, and a whole pricing run on two backends."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from networks import convnet as onnx_convnet

from octavo.backends.onnxruntime import OnnxRuntimeBackend
from octavo.backends.reference import ReferenceBackend
from octavo.errors import ModelError
from octavo.measure import Statistics, tied_ranges
from octavo.plan import FP32, Plan
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.search.price import pricing
from octavo.search.price.cache import open_cache
from octavo.search.price.features import RUN, group_feature, is_border
from octavo.search.price.fit import LEAST_MODEL_ERROR, is_known, known_prices
from octavo.search.price.plans import plan_features, random_plan
from octavo.search.price.pricing import FEW, MIXED, price
from octavo.search.price.profiles import PlanProfile, Profiler
from octavo.search.space import Space, make_space
from octavo.target import Target
from octavo.testing.networks import convnet, samples

REFERENCE = ReferenceBackend()
GRAPH = REFERENCE.graph(REFERENCE.load(convnet()), Target())
SPACE = make_space(GRAPH)


@dataclass
class Slow:
    """A profiler of a made-up machine: every plan takes `each` seconds to profile."""

    each: float = 0.0
    now: float = 0.0
    broken: str = ""
    plans: list[Plan] = field(default_factory=list)

    def profile(self, plan):
        self.now += self.each
        self.plans.append(plan)
        if self.broken and not plan.format(self.broken).is_float:
            raise ModelError("there is no kernel for it")
        groups = {g.id: 1e-3 if plan.format(g.id).is_float else 5e-4 for g in GRAPH.groups}
        return PlanProfile(plan, sum(groups.values()), groups, 0.0)


@pytest.fixture
def timed(monkeypatch):
    def make(**options):
        made = Slow(**options)
        monkeypatch.setattr(pricing.time, "monotonic", lambda: made.now)
        return made

    return make


WHOLE = [initial_plan(GRAPH).plan]


@pytest.mark.parametrize(
    ("each", "expected"), [(0.0, 2 + MIXED), (5.0, 9), (14.0, 3), (60.0, 3), (600.0, 3)]
)
def test_no_plan_is_begun_that_would_not_end_in_time(timed, each, expected):
    """The float plan, the whole one and one mixed plan are profiled all the same."""
    profiler = timed(each=each)
    prices, profiles = price(SPACE, profiler, WHOLE, seconds=45.0)
    assert len(profiles) == len(profiler.plans) == prices.plans == expected
    assert profiler.now <= max(45.0, 3 * each)


def test_the_float_plan_and_the_whole_ones_come_first(timed):
    profiler = timed()
    price(SPACE, profiler, WHOLE)
    assert profiler.plans[:2] == [Plan(), *WHOLE]


def test_the_same_seed_profiles_the_same_plans(timed):
    first, second, other = timed(), timed(), timed()
    for profiler, seed in ((first, 1), (second, 1), (other, 2)):
        price(SPACE, profiler, WHOLE, seed=seed)
    assert first.plans == second.plans != other.plans


def test_few_plans_are_profiled_where_all_prices_are_known(timed):
    every = {
        group_feature(GRAPH.group_by_id[name], one): 1e-3
        for name, formats in SPACE.choices.items()
        for one in formats
    }
    known = {**every, "quantize flat>flat": 1e-3}
    profiler = timed()
    price(SPACE, profiler, WHOLE, known=known)
    assert len(profiler.plans) == 2 + FEW
    known.popitem()  # no border is known
    profiler = timed()
    price(SPACE, profiler, WHOLE, known=known)
    assert len(profiler.plans) == 2 + MIXED


def test_a_plan_that_does_not_build_is_reported_and_left_out(timed):
    told = []
    profiler = timed(broken="stem")
    _, profiles = price(SPACE, profiler, WHOLE, report=told.append)
    assert 1 < len(profiles) < len(profiler.plans)
    assert len(told) == len(profiler.plans) - len(profiles)
    assert all("no kernel for it" in text and "not priced" in text for text in told)
    assert all(one.plan.format("stem").is_float for one in profiles)


def test_where_nothing_can_be_chosen_the_float_model_alone_is_profiled(timed):
    profiler = timed()
    prices, _ = price(Space(GRAPH, {}, {}), profiler, [])
    assert profiler.plans == [Plan()]
    assert prices.float_seconds == pytest.approx(1e-3 * len(GRAPH.groups))


def test_a_float_model_that_does_not_run_is_an_error(timed):
    class Broken(Slow):
        def profile(self, plan):
            raise ModelError("it does not run")

    with pytest.raises(ModelError, match="does not run"):
        price(SPACE, Broken(), WHOLE)


def real_profiler(backend, source, batch):
    model = backend.load(source)
    target = Target(threads=1, shapes={name: array.shape for name, array in batch.items()})
    graph = backend.graph(model, target)
    space = make_space(graph)
    everything = [
        Plan({name: one})
        for name, formats in space.choices.items()
        for one in formats
        if not one.is_float
    ]
    statistics = Statistics(wanted_tensors(graph, everything))
    backend.observe(model, [batch], statistics, target)

    def ranges(plan):
        schemes = wanted_tensors(graph, [plan])
        return tied_ranges(statistics, graph.planned(plan), plan.recipe, schemes)

    return space, Profiler(backend, model, graph, target, batch, ranges)


def networks():
    image = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32)
    yield "reference", REFERENCE, convnet(), samples(convnet(), 2)
    yield "onnxruntime", OnnxRuntimeBackend(), onnx_convnet(), {"image": image}


@pytest.mark.parametrize(
    ("backend", "source", "batch"), [one[1:] for one in networks()], ids=["reference", "onnx"]
)
def test_real_plans_are_priced_and_the_next_run_starts_from_what_was_kept(
    backend, source, batch, tmp_path, monkeypatch
):
    monkeypatch.setattr("octavo.search.price.profiles.BLOCK", 0.002)
    space, profiler = real_profiler(backend, source, batch)
    told = []
    whole = [initial_plan(space.graph).plan]
    prices, profiles = price(space, profiler, whole, report=told.append)
    assert told == []
    assert prices.plans == len(profiles) == 2 + MIXED
    assert (prices.seconds >= 0).all()
    assert prices.float_seconds > 0
    shown = set().union(*(plan_features(space, one.plan) for one in profiles))
    assert shown <= set(prices.names)
    assert any(is_border(name) and prices.of(name) > 0 for name in prices.names)
    for group in space.graph.groups:
        if group.macs:
            assert prices.of(group_feature(group, FP32)) > 0
    cost = prices.predict(space.graph, Plan())
    assert cost.seconds > 0
    assert cost.error >= LEAST_MODEL_ERROR * cost.seconds

    cache = open_cache(backend.name, backend.versions(), profiler.target, tmp_path)
    cache.store(known_prices(prices))
    kept = cache.read()
    assert RUN not in kept
    told = {name: prices.of(name) for name in prices.names if name != RUN}
    free = {name for name, seconds in told.items() if seconds == 0}
    assert told.keys() - kept.keys() == {name for name in free if not is_known(name, 0.0)}
    assert kept == pytest.approx({name: told[name] for name in kept})


@pytest.mark.parametrize(
    ("backend", "source", "batch"), [one[1:] for one in networks()], ids=["reference", "onnx"]
)
def test_every_random_plan_of_a_space_can_be_built_and_run(backend, source, batch):
    space, profiler = real_profiler(backend, source, batch)
    rng = np.random.default_rng(3)
    for _ in range(8):
        plan = random_plan(space, rng)
        session = backend.open(profiler.build(plan), profiler.target)
        assert all(np.isfinite(value).all() for value in session.run(batch).values())
