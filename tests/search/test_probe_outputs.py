"""Outputs that are hard to compare, and what the probe spends on them."""

import warnings

import numpy as np
import pytest

from octavo.plan import U8, Format, Plan
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


def test_the_float_model_runs_once_whatever_is_measured():
    meter = probe(named(y=noise(5, 2)), named(y=noise(5, 2, seed=1)))
    first, second = meter.error(PLAN), meter.error(PLAN)
    assert first == second > 0
    assert (meter.forwards, meter.plans) == (3 * 5, 2)


def test_a_model_of_integer_outputs_has_no_error_and_its_float_form_runs_once():
    meter = probe(named(y=np.arange(5)), named(y=np.zeros(5, int)))
    assert [meter.error(PLAN) for _ in range(3)] == [0.0] * 3
    assert meter.forwards == (1 + 3) * 5


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
