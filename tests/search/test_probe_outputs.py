"""Outputs that are hard to compare, and what the probe spends on them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from octavo.errors import NonFiniteError
from octavo.plan import U8, Format, Plan, Recipe
from octavo.search.probe import WORST, Probe

BATCHES = ({"x": np.zeros((2, 1), np.float32)}, {"x": np.zeros((3, 1), np.float32)})
PLAN = Plan({"g": Format("int8", None, (U8,), (U8,))})


class Replay:
    """A session that returns what is given, one entry for each batch."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def run(self, batch):
        return next(self.answers)


def probe(expected, found):
    return Probe(
        float_model="float",
        build=lambda plan: "int8",
        open=lambda model: Replay(expected if model == "float" else found),
        batches=BATCHES,
    )


def named(**arrays):
    """Return two batches, the first of two samples, the second of three."""
    return [{k: v[:2] for k, v in arrays.items()}, {k: v[2:] for k, v in arrays.items()}]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_the_float_model_runs_once_and_so_does_a_plan_that_is_asked_for_again():
    meter = probe(named(y=noise(5, 2)), named(y=noise(5, 2, seed=1)))
    first, second = meter.error(PLAN), meter.error(replace(PLAN, recipe=Recipe("mse")))
    assert first == second > 0
    assert (meter.forwards, meter.plans) == (3 * 5, 2)
    assert meter.error(PLAN) == first
    assert (meter.forwards, meter.plans) == (3 * 5, 2)


def test_a_model_is_measured_each_time_it_is_given():
    meter = probe(named(y=noise(5, 2)), named(y=noise(5, 2, seed=1)))
    assert meter.model_error("int8") == meter.model_error("int8") == meter.error(PLAN)
    assert (meter.forwards, meter.plans) == (4 * 5, 3)


def test_a_model_of_integer_outputs_has_no_error_and_its_float_form_runs_once():
    meter = probe(named(y=np.arange(5)), named(y=np.zeros(5, int)))
    assert [meter.model_error("int8") for _ in range(3)] == [0.0] * 3
    assert meter.forwards == (1 + 3) * 5


class Samples:
    """A probe of six batches of three samples, whose model answers by the batch it is given."""

    def __init__(self, fails_at=None):
        self.batches = [{"x": np.full((3, 1), place, np.float32)} for place in range(6)]
        self.expected = [noise(3, 2, seed=place) for place in range(6)]
        self.opened, self.fails_at = [], fails_at
        self.meter = Probe("float", lambda plan: "int8", self.open, self.batches)

    def open(self, model):
        self.opened.append(model)
        session = Replay([])
        session.run = lambda batch: self.answer(model, int(batch["x"][0, 0]))
        return session

    def answer(self, model, place):
        if model != "float" and place == self.fails_at:
            raise NonFiniteError("y", "x")
        return {"y": self.expected[place] + (0.0 if model == "float" else 0.1 * (place + 1))}

    def error(self, batches):
        joined = np.concatenate(self.expected[:batches])
        energy = sum(6 * (0.1 * (place + 1)) ** 2 for place in range(batches))
        return pytest.approx(energy / np.sum((joined - joined.mean(axis=0)) ** 2))


@pytest.mark.parametrize(
    ("samples", "batches"), [(1, 1), (3, 1), (4, 2), (9, 3), (18, 6), (99, 6), (None, 6)]
)
def test_an_error_on_fewer_samples_is_that_of_the_first_batches_which_hold_them(samples, batches):
    case = Samples()
    assert case.meter.error(PLAN, samples) == case.error(batches)
    assert case.meter.forwards == 2 * 3 * batches


def test_more_samples_run_only_those_that_are_missing():
    case = Samples()
    errors = [case.meter.error(PLAN, samples) for samples in (3, 6, 18, 6, None)]
    assert errors == [case.error(batches) for batches in (1, 2, 6, 2, 6)]
    assert case.meter.forwards == 2 * 18
    assert case.opened.count("int8") == case.meter.plans == 3
    assert case.meter.model_error("int8") == case.error(6)


def test_a_plan_that_breaks_later_is_not_the_worst_before():
    case = Samples(fails_at=2)
    assert case.meter.error(PLAN, 6) == case.error(2)
    assert case.meter.error(PLAN) == WORST
    spent = case.meter.forwards
    assert case.meter.error(PLAN, 18) == WORST
    assert case.meter.forwards == spent == 18 + 9  # nothing runs behind the batch that breaks


def test_a_single_sample_has_nothing_around_its_mean_so_that_two_are_taken():
    expected = [{"y": np.ones((1, 2))}, {"y": 3 * np.ones((1, 2))}]
    found = [{"y": np.ones((1, 2))}, {"y": 2 * np.ones((1, 2))}]
    meter = probe(expected, found)
    meter.batches = [{"x": np.zeros((1, 1))}, {"x": np.zeros((1, 1))}]
    assert meter.error(PLAN, 1) == pytest.approx(2 / 4)


def test_integer_outputs_that_break_later_are_the_worst():
    expected = named(y=np.arange(5))
    meter = probe(expected, expected)
    answers = iter([expected[0], NonFiniteError("y", "x")])
    session = Replay([])
    session.run = lambda batch: _raised(next(answers))
    meter.open = lambda model: Replay(expected) if model == "float" else session
    assert meter.model_error("int8") == WORST


def _raised(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_one_output_that_is_not_finite_makes_a_plan_the_worst():
    broken = named(y=noise(5, 2), z=np.full((5, 2), np.nan))
    meter = probe(named(y=noise(5, 2), z=noise(5, 2)), broken)
    assert meter.error(PLAN) == WORST


def test_a_constant_output_that_is_no_longer_zero_is_the_worst():
    meter = probe(named(y=np.zeros((5, 2))), named(y=np.full((5, 2), 0.1)))
    assert meter.error(PLAN) == WORST


def test_no_error_is_larger_than_the_worst():
    meter = probe(named(y=noise(5, 2)), named(y=1e9 * noise(5, 2, seed=1)))
    assert meter.error(PLAN) == WORST


def test_infinities_of_the_float_model_are_left_out_without_a_warning():
    expected = noise(5, 4)
    expected[:, 0] = -np.inf
    found = expected + 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = probe(named(y=expected), named(y=found)).error(PLAN)
    rest = expected[:, 1:]
    assert error == pytest.approx(15 * 0.01 / np.sum((rest - rest.mean(axis=0)) ** 2))


def test_a_value_that_becomes_infinite_is_the_worst():
    found = noise(5, 2)
    found[1, 1] = np.inf
    assert probe(named(y=noise(5, 2)), named(y=found)).error(PLAN) == WORST


def test_outputs_of_changing_size_are_compared_by_their_whole_energy():
    expected = [{"y": np.full((2, 3), 2.0)}, {"y": np.full((3, 5), 2.0)}]
    found = [{"y": np.full((2, 3), 2.5)}, {"y": np.full((3, 5), 2.0)}]
    assert probe(expected, found).error(PLAN) == pytest.approx(6 * 0.25 / (21 * 4))


def test_scalars_are_compared_as_they_are():
    expected = [{"y": np.array(2.0)}, {"y": np.array(4.0)}]
    found = [{"y": np.array(3.0)}, {"y": np.array(4.0)}]
    assert probe(expected, found).error(PLAN) == pytest.approx(1 / 20)
