"""Rows: what a linear operator multiplies, position by position."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.backends.reference.network import Layer
from octavo.correct.constants import to_blocks
from octavo.correct.rows import RowSampler, input_rows, positions
from octavo.graph import Linear, Window
from octavo.testing.evaluator import apply


def conv(kernel, stride, padding, groups=1, dilation=1):
    both = (stride,) * 2
    window = Window((kernel,) * 2, both, (dilation,) * 2, ((padding, padding),) * 2)
    return Linear("w", None, 1, 0, 1, groups, window)


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.integers(0, 999)
)
@settings(deadline=None, max_examples=40)
def test_rows_times_weights_are_the_convolution(kernel, stride, padding, groups, seed):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(2 * groups, 2, kernel, kernel))
    image = rng.normal(size=(2 * groups, 7, 6)).astype(np.float32)
    linear = conv(kernel, stride, padding, groups)
    attributes = {"stride": stride, "padding": padding, "groups": groups}
    layer = Layer("c", "conv", ("x",), "y", (), attributes)
    expected = apply(layer, [image[None]], [weight, np.zeros(len(weight))])[0]

    rows = input_rows(linear, image)
    blocks = to_blocks(weight, linear)
    found = rows @ blocks.reshape(groups, 2, -1).swapaxes(1, 2)
    assert rows.shape[1] == positions(linear, image.shape) == expected[0].size
    np.testing.assert_allclose(found.swapaxes(1, 2).reshape(expected.shape), expected, atol=1e-5)


def test_taps_of_a_dilated_window_lie_apart():
    image = np.arange(25, dtype=np.float32).reshape(1, 5, 5)
    rows = input_rows(conv(2, 1, 0, dilation=3), image)
    assert np.array_equal(rows[0, 0], [0, 3, 15, 18])
    assert positions(conv(2, 1, 0, dilation=3), image.shape) == 4


def test_rows_of_a_matrix_product_are_its_positions():
    values = np.arange(24.0).reshape(2, 3, 4)
    linear = Linear("w", None, 0, 1, -1)
    assert np.array_equal(input_rows(linear, values)[0], values.reshape(6, 4))
    assert np.array_equal(
        input_rows(linear, values, np.array([1, 5]))[0], values.reshape(6, 4)[[1, 5]]
    )


@pytest.mark.parametrize("sizes", [[6], [1, 5], [2, 2, 2]])
def test_the_same_rows_are_taken_of_each_sample_whatever_the_batch(sizes):
    values = np.random.default_rng(0).normal(size=(6, 2, 9, 9)).astype(np.float32)
    whole = RowSampler(conv(3, 1, 1), limit=5, seed=4).take(values)
    sampler, start, parts = RowSampler(conv(3, 1, 1), limit=5, seed=4), 0, []
    for size in sizes:
        parts.append(sampler.take(values[start : start + size]))
        start += size

    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert whole.shape == (1, 30, 18)


def test_other_samples_give_other_positions():
    same = np.repeat(np.random.default_rng(0).normal(size=(1, 1, 9, 9)), 2, axis=0)
    rows = RowSampler(conv(1, 1, 0), limit=4).take(same)[0, :, 0]
    assert not np.array_equal(rows[:4], rows[4:])
