"""Times of plans are relative to the float model, and kernels are shared out among groups."""

from dataclasses import dataclass, field

import pytest

from octavo.backends.base import KernelTime
from octavo.plan import U8, Format, Plan
from octavo.search.price import profiles
from octavo.search.price.profiles import PlanProfile, Profiler, levelled

PLAN = Plan({"a": Format("int8", None, (U8,), (U8,))})
KERNELS = (
    KernelTime("conv", ("a",), 3e-3),
    KernelTime("bias", ("a",), 1e-3),
    KernelTime("fused", ("b", "c"), 4e-3),
    KernelTime("quantize", (), 1e-3),
    KernelTime("reorder", (), 5e-4),
)


@dataclass
class World:
    """A machine with a clock of its own, on which `seconds` says how long a model takes."""

    seconds: object
    now: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)

    def open(self, model, target):
        return Running(self, model)

    def build(self, model, plan, ranges, target):
        return "int8"

    def profile(self, model, built, batch, target):
        return KERNELS


@dataclass
class Running:
    world: World
    model: str

    def run(self, batch):
        count = self.world.calls.get(self.model, 0)
        self.world.calls[self.model] = count + 1
        self.world.now += self.world.seconds(self.model, count, self.world.now)


def profiler(monkeypatch, seconds):
    world = World(seconds)
    monkeypatch.setattr(profiles.time, "perf_counter", lambda: world.now)
    return Profiler(world, "float", None, None, {}, lambda plan: {}), world


def test_kernels_add_up_by_group_and_what_belongs_to_none_is_borders(monkeypatch):
    made, _ = profiler(monkeypatch, lambda *_: 0.01)
    found = made.profile(PLAN)
    assert found.groups == pytest.approx({"a": 4e-3, "b": 2e-3, "c": 2e-3})
    assert found.borders == pytest.approx(1.5e-3)
    assert found.plan is PLAN


def test_a_plan_takes_what_its_median_call_takes(monkeypatch):
    """Every seventh call is disturbed."""

    def seconds(model, count, now):
        usual = {"float": 8e-3, "int8": 2e-3}[model]
        return 50 * usual if count % 7 == 3 else usual

    made, _ = profiler(monkeypatch, seconds)
    assert made.profile(PLAN).seconds == pytest.approx(2e-3)
    assert made.profile(Plan()).seconds == pytest.approx(8e-3)


@pytest.mark.parametrize("slower", [0.1, -0.05])
def test_a_machine_that_changes_on_the_way_does_not_make_later_plans_look_worse(
    monkeypatch, slower
):
    """It takes another share of a call for each second that has passed; a plan takes half."""

    def seconds(model, count, now):
        return {"float": 8e-3, "int8": 4e-3}[model] * (1 + slower * now)

    made, world = profiler(monkeypatch, seconds)
    raw = [made.profile(Plan()), *(made.profile(PLAN) for _ in range(10))]
    assert world.now > 5
    assert abs(raw[-1].seconds / raw[1].seconds - 1) > 0.2
    first, *others = levelled(raw)
    assert [one.seconds for one in others] == pytest.approx([first.seconds / 2] * 10, rel=0.02)
    usual = sorted(one.float_seconds for one in raw)[len(raw) // 2]
    assert first.seconds == pytest.approx(usual, rel=0.02)
    assert made.time("int8") == pytest.approx(usual / 2, rel=0.05)


def test_kernels_are_levelled_with_the_time_of_their_plan():
    fast = PlanProfile(PLAN, 2.0, {"a": 1.0}, 0.5, float_seconds=4.0)
    slow = PlanProfile(PLAN, 6.0, {"a": 3.0}, 1.5, float_seconds=12.0)
    unknown = PlanProfile(PLAN, 7.0, {"a": 1.0}, 0.5)
    usual = PlanProfile(PLAN, 4.0, {"a": 2.0}, 1.0, float_seconds=8.0)
    assert levelled([fast, usual, slow, unknown]) == [usual, usual, usual, unknown]


def test_a_slow_model_runs_no_more_than_it_has_to(monkeypatch):
    made, world = profiler(monkeypatch, lambda *_: 2.0)
    made.profile(PLAN)
    assert world.calls["int8"] == profiles.LEAST_CALLS * (1 + profiles.ROUNDS)


def test_the_float_model_is_not_built(monkeypatch):
    made, _ = profiler(monkeypatch, lambda *_: 0.01)
    assert made.build(Plan()) == "float"
    assert made.build(PLAN) == "int8"
