"""The best of many plans is found on few samples, and what it cost is told."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.errors import ModelError
from octavo.plan import S8, U8, Format, Plan
from octavo.search.halving import Alternative, halve
from octavo.search.probe import Probe

STATIC = Format("int8", S8, (U8,), (U8,))


def alternatives(count):
    return [Alternative(f"a{i}", Plan({f"g{i}": STATIC})) for i in range(count)]


class Made:
    """A meter with given errors, a share of noise that shrinks with samples, and failures."""

    def __init__(self, errors, samples=24, noise=0.0, failing=(), seed=0):
        self.errors, self.samples, self.noise, self.failing = errors, samples, noise, failing
        self.drawn = np.random.default_rng(seed).standard_normal(len(errors))
        self.seen, self.asked = {}, []

    @property
    def forwards(self):
        return sum(self.seen.values())

    def error(self, plan, samples=None):
        (group,) = plan.formats
        place = int(group[1:])
        if place in self.failing:
            raise ModelError("no kernel")
        self.asked.append((place, samples))
        self.seen[place] = max(samples, self.seen.get(place, 0))
        return self.errors[place] * math.exp(self.noise * self.drawn[place] / math.sqrt(samples))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=20), st.integers(2, 64))
def test_the_best_of_all_is_measured_on_all_samples_and_few_others_are(errors, samples):
    meter = Made(errors, samples)
    found = halve(alternatives(len(errors)), meter)
    assert found.best == found.order[0]
    assert (found.best.error, found.best.samples) == (min(errors), samples)
    assert sorted(one.alternative.name for one in found.order) == sorted(
        f"a{i}" for i in range(len(errors))
    )
    assert found.forwards == meter.forwards <= samples * len(errors)
    whole = sum(one.samples == samples for one in found.order)
    assert whole == 1 or samples < 2 * len(errors)
    for one, two in zip(found.order, found.order[1:], strict=False):
        assert one.samples >= two.samples
        assert one.error <= two.error


def test_eight_plans_cost_as_much_as_two_and_a_half_on_all_samples():
    meter = Made([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], 24)
    found = halve(alternatives(8), meter)
    assert [one.samples for one in found.order] == [24, 12, 6, 6, 3, 3, 3, 3]
    assert found.forwards == 24 + 12 + 2 * 6 + 4 * 3
    assert [place for place, samples in meter.asked if samples == 6] == [7, 6, 5, 4]


def test_noise_of_few_samples_rarely_hides_a_plan_that_is_clearly_best():
    errors = [0.02, *np.linspace(0.04, 0.2, 11)]
    found = [
        halve(alternatives(12), Made(errors, noise=0.5, seed=seed)).best.alternative.name
        for seed in range(200)
    ]
    assert found.count("a0") > 190


@pytest.mark.parametrize(("second", "best"), [(0.85, "a0"), (0.75, "a1")])
def test_the_first_is_kept_unless_another_is_clearly_better(second, best):
    found = halve(alternatives(2), Made([1.0, second]), preferred=0.8)
    assert found.best.alternative.name == best
    assert [one.error for one in found.order] == sorted([1.0, second], reverse=best == "a0")


def test_plans_that_cannot_be_built_come_last_with_the_reason():
    meter = Made([0.1, 0.2, 0.3, 0.4], failing=(0, 2))
    found = halve(alternatives(4), meter)
    assert [one.alternative.name for one in found.order] == ["a1", "a3", "a0", "a2"]
    assert [one.reason for one in found.order] == [None, None, "no kernel", "no kernel"]
    assert found.best.samples == 24


def test_where_none_can_be_built_there_is_no_best():
    found = halve(alternatives(3), Made([0.1] * 3, failing=range(3)))
    assert found.best is None
    assert len(found.order) == 3


def test_one_that_is_left_alone_is_measured_on_all_samples_at_once():
    meter = Made([0.1] * 8, failing=range(1, 8))
    assert halve(alternatives(8), meter).best.samples == 24
    assert [samples for _, samples in meter.asked] == [3, 24]


def test_equal_plans_are_measured_once_and_equal_errors_keep_the_first():
    twice = [*alternatives(2), Alternative("again", alternatives(1)[0].plan)]
    found = halve(twice, Made([0.1, 0.1]))
    assert [one.alternative.name for one in found.order] == ["a0", "a1"]


def test_nothing_to_compare_costs_nothing():
    found = halve([], Made([]))
    assert (found.order, found.best, found.forwards) == ((), None, 0)


def test_a_probe_runs_what_is_missing_and_the_float_model_once():
    rng = np.random.default_rng(0)
    batches = [{"x": rng.standard_normal((2, 5)).astype(np.float32)} for _ in range(8)]
    offsets = {f"g{i}": 0.1 * (4 - i) for i in range(4)}

    class Shifted:
        def __init__(self, model):
            self.shift = 0.0 if model == "float" else offsets[model]

        def run(self, batch):
            return {"y": batch["x"] + self.shift}

    probe = Probe("float", lambda plan: next(iter(plan.formats)), Shifted, batches)
    found = halve(alternatives(4), probe)
    assert [one.alternative.name for one in found.order] == ["a3", "a2", "a1", "a0"]
    assert [one.samples for one in found.order] == [16, 8, 4, 4]
    assert found.forwards == probe.forwards == 16 + 16 + 8 + 4 + 4
