import json

import numpy as np
import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.errors import ModelError
from octavo.measure import Statistics, tied_ranges
from octavo.plan import Plan
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.search.price.cache import cache_folder, open_cache
from octavo.search.price.features import group_feature, is_border
from octavo.search.price.fit import is_known, known_prices
from octavo.search.price.plans import random_plan
from octavo.search.price.pricing import FEW, MIXED, price
from octavo.search.price.profiles import PlanProfile, Profiler
from octavo.search.space import Space, make_space
from octavo.target import Target
from octavo.testing.networks import convnet

IMAGE = {"image": np.random.default_rng(0).standard_normal((1, 3, 12, 12)).astype(np.float32)}
TARGET = Target(shapes={"image": (1, 3, 12, 12)})


@pytest.fixture(scope="module")
def subject():
    backend = ReferenceBackend()
    model = backend.load(convnet())
    graph = backend.graph(model, TARGET)
    space = make_space(graph)
    plans = [Plan({k: one}) for k, formats in space.choices.items() for one in formats]
    schemes = wanted_tensors(graph, plans)
    statistics = Statistics(schemes)
    backend.observe(model, [IMAGE], statistics, TARGET)

    def ranges(plan):
        schemes = wanted_tensors(graph, [plan])
        return tied_ranges(statistics, graph.planned(plan), plan.recipe, schemes)

    return space, Profiler(backend, model, graph, TARGET, IMAGE, ranges)


def test_a_real_model_is_priced_and_its_plans_predicted(subject):
    space, profiler = subject
    prices, profiles = price(space, profiler, [initial_plan(space.graph).plan], seconds=60)
    assert len(profiles) == prices.plans == 2 + MIXED
    for profile in profiles:
        groups = {g.id for g in space.graph.groups}
        assert profile.seconds > 0
        assert profile.groups.keys() <= groups
        cost = prices.predict(space.graph, profile.plan)
        assert 0 < cost.seconds < 10 * max(one.seconds for one in profiles)
        assert cost.error > 0
    heaviest = max(space.graph.groups, key=lambda group: group.macs)
    assert prices.of(group_feature(heaviest, Plan().format(heaviest.id))) > 0


class Slow:
    """A profiler whose plans take time by a clock of its own."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds, self.plans = 0.0, seconds, []
        monkeypatch.setattr("octavo.search.price.pricing.time.monotonic", lambda: self.now)

    def profile(self, plan):
        self.now += self.seconds
        self.plans.append(plan)
        return PlanProfile(plan, 1e-3, {}, 0.0)


def test_fewer_plans_are_profiled_where_each_takes_long(subject, monkeypatch):
    space, _ = subject
    slow = Slow(monkeypatch, 10.0)
    price(space, slow, [initial_plan(space.graph).plan], seconds=45)
    assert slow.now <= 45
    assert len(slow.plans) == 4
    slow = Slow(monkeypatch, 100.0)
    price(space, slow, [initial_plan(space.graph).plan], seconds=45)
    assert len(slow.plans) == 3  # float, whole and one mixed at least


def test_known_prices_save_plans(subject, monkeypatch):
    space, _ = subject
    slow = Slow(monkeypatch, 0.1)
    everything = {
        group_feature(space.graph.group_by_id[name], one): 1e-4
        for name, formats in space.choices.items()
        for one in formats
    }
    price(space, slow, [], known={**everything, "quantize flat>flat": 1e-4})
    assert len(slow.plans) == 1 + FEW


def test_no_plan_is_profiled_twice_in_a_space_of_few(subject, monkeypatch):
    space, _ = subject
    name = next(name for name, formats in space.choices.items() if len(formats) == 3)
    tiny = Space(space.graph, {name: space.choices[name]}, {})
    slow = Slow(monkeypatch, 0.1)
    price(tiny, slow, [tiny.plan({name: tiny.choices[name][1]})])
    assert slow.plans == [Plan(), *(Plan({name: one}) for one in tiny.choices[name][1:])]


def test_a_price_of_nothing_that_is_never_free_is_not_known(subject, monkeypatch):
    space, _ = subject
    slow = Slow(monkeypatch, 0.1)
    zero = {
        group_feature(space.graph.group_by_id[name], one): 0.0
        for name, formats in space.choices.items()
        for one in formats
    }
    prices, _ = price(space, slow, [], known={**zero, "quantize flat>flat": 0.0})
    assert len(slow.plans) == 1 + MIXED
    told = known_prices(prices)
    assert not any(is_border(name) and not seconds for name, seconds in told.items())
    moves = [name for name in zero if name.startswith("move-")]
    assert moves and set(moves) <= told.keys()


@pytest.mark.parametrize(
    ("feature", "known"),
    [("quantize flat>flat", False), ("conv-1 int8 q>q", False), ("recurrent-1 fp32", False),
     ("move-1 int8 q>q", True), ("activation-1 fp32", True)],
)  # fmt: skip
def test_what_moves_numbers_may_be_free_and_nothing_else(feature, known):
    assert is_known(feature, 0.0) == known
    assert is_known(feature, 1e-9)


def test_a_plan_that_does_not_run_is_told_and_left_out(subject):
    space, _ = subject
    told = []

    class Refusing:
        def profile(self, plan):
            if len(plan.formats) > 1:
                raise ModelError("no kernel")
            return PlanProfile(plan, 1e-3, {}, 0.0)

    _, profiles = price(
        space, Refusing(), [initial_plan(space.graph).plan], seed=1, report=told.append
    )
    assert profiles[0].plan == Plan()
    assert any("was not priced: no kernel" in text for text in told)


def test_random_plans_are_of_the_space_and_differ(subject):
    space, _ = subject
    rng = np.random.default_rng(0)
    plans = [random_plan(space, rng) for _ in range(30)]
    for plan in plans:
        assert all(form in space.choices[name] for name, form in plan.formats.items())
    assert len({tuple(plan.formats) for plan in plans}) > 10


def test_prices_are_kept_for_the_same_machine_and_runtime(tmp_path):
    cache = open_cache("onnxruntime", {"onnxruntime": "1"}, TARGET, tmp_path / "prices")
    assert cache.read() == {}
    cache.store({"conv-1 fp32": 1e-3})
    cache.store({"conv-1 int8 q>q": 2e-4, "quantize flat>flat": 1e-5})
    again = open_cache("onnxruntime", {"onnxruntime": "1"}, TARGET, tmp_path / "prices")
    assert set(again.read()) == {"conv-1 fp32", "conv-1 int8 q>q", "quantize flat>flat"}
    assert any(map(is_border, again.read()))
    for other in (
        open_cache("onnxruntime", {"onnxruntime": "2"}, TARGET, tmp_path / "prices"),
        open_cache("openvino", {"onnxruntime": "1"}, TARGET, tmp_path / "prices"),
        open_cache("onnxruntime", {"onnxruntime": "1"}, Target(threads=2), tmp_path / "prices"),
    ):
        assert other.read() == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 1, "key": {}}'])
def test_a_file_that_cannot_be_read_is_no_cache(tmp_path, content):
    cache = open_cache("onnxruntime", {}, TARGET, tmp_path)
    cache.store({"a": 1.0})
    cache.path.write_text(content)
    assert cache.read() == {}
    cache.store({"b": 1.0})
    assert cache.read() == {"b": 1.0}


def test_numbers_that_are_no_times_are_left_out(tmp_path):
    cache = open_cache("onnxruntime", {}, TARGET, tmp_path)
    cache.store({"a": 1.0})
    content = json.loads(cache.path.read_text())
    content["seconds"] |= {"b": -1.0, "c": float("nan")}
    cache.path.write_text(json.dumps(content))
    assert cache.read() == {"a": 1.0}


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    cache = open_cache("onnxruntime", {}, TARGET, tmp_path / "file" / "prices")
    cache.store({"a": 1.0})
    assert cache.read() == {}


def test_the_cache_lies_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "octavo"


def test_the_overhead_of_a_run_is_not_kept_for_other_models(subject):
    space, profiler = subject
    prices, _ = price(space, profiler, [], seconds=0.0)
    assert "run" not in known_prices(prices)
