"""Rounding that makes up for its errors: never farther off than rounding to nearest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.correct.rounding import output_error, round_weight, shrunk


def problem(seed, outputs=6, columns=20, samples=200):
    """Return a weight, its scales and the matrix of inputs whose columns are related."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(1, outputs, columns))
    inputs = rng.normal(size=(samples, 5)) @ rng.normal(size=(5, columns))
    inputs += 0.1 * rng.normal(size=(samples, columns))
    scale = np.abs(weight).max(axis=-1) / 7
    return weight, scale, (inputs.T @ inputs / samples)[None]


def nearest(weight, scale, largest):
    return np.clip(np.rint(weight / scale[..., None]), -largest, largest)


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 90), st.sampled_from([7, 63, 127]))
@settings(max_examples=60, deadline=None)
def test_no_channel_is_worse_than_nearest(seed, outputs, columns, largest):
    weight, scale, gram = problem(seed, outputs, columns)
    scale = scale * 7 / largest
    rounded = round_weight(weight, scale, gram, largest)
    steps = weight / scale[..., None]

    assert np.array_equal(rounded, np.rint(rounded))
    assert np.abs(rounded).max() <= largest
    error = output_error(rounded - steps, gram)
    assert np.all(error <= output_error(nearest(weight, scale, largest) - steps, gram) * (1 + 1e-9))


@pytest.mark.parametrize("seed", range(5))
def test_related_inputs_leave_a_fraction_of_the_error(seed):
    weight, scale, gram = problem(seed)
    steps = weight / scale[..., None]
    left = output_error(round_weight(weight, scale, gram, 7) - steps, gram).sum()

    assert left < 0.5 * output_error(nearest(weight, scale, 7) - steps, gram).sum()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_value_that_the_scale_is_due_to_keeps_it(seed):
    weight, scale, gram = problem(seed)
    rounded = round_weight(weight, scale, gram, 7) * scale[..., None]

    np.testing.assert_allclose(np.abs(rounded).max(axis=-1) / 7, scale, rtol=1e-12)


def test_the_error_is_the_mean_square_of_what_comes_out():
    rng = np.random.default_rng(0)
    inputs, error = rng.normal(size=(50, 8)), rng.normal(size=(1, 3, 8))
    expected = np.square(inputs @ error[0].T).mean(axis=0)

    found = output_error(error, (inputs.T @ inputs / 50)[None])
    np.testing.assert_allclose(found, expected[None], rtol=1e-12)


def test_few_samples_are_believed_less():
    gram = problem(0)[2]
    few, many = shrunk(gram, 5), shrunk(gram, 100_000)
    own = np.eye(gram.shape[-1]) * gram

    np.testing.assert_allclose(np.diagonal(few[0]), np.diagonal(gram[0]))
    np.testing.assert_allclose(few - own, (gram - own) * 5 / 25)
    np.testing.assert_allclose(many, gram, rtol=1e-3)
