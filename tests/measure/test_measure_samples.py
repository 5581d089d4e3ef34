"""Thinning: which values of a sample a histogram looks at."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.errors import NonFiniteError
from octavo.measure import SAMPLED, TensorStatistics
from octavo.measure.samples import as_samples

SIZES = st.integers(1, 40)


def measured(values, **arguments):
    statistics = TensorStatistics(**arguments)
    statistics.update(values)
    return statistics


def channels_last(values):
    """Return the same values with the channels of a pixel side by side in memory."""
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@settings(max_examples=200)
@given(st.integers(1, 3), SIZES, SIZES, st.integers(1, 400))
def test_at_most_the_limit_of_each_sample_is_taken(samples, channels, positions, limit):
    values = np.zeros((samples, channels, positions))
    rows, taken = as_samples(values, limit).shape
    assert rows == samples
    assert 1 <= taken <= max(limit, 16)  # a run of 16 neighbours is not cut


@settings(max_examples=200)
@given(SIZES, SIZES, st.integers(16, 400))
def test_samples_within_the_limit_are_taken_whole(channels, positions, limit):
    values = np.arange(channels * positions, dtype=np.float32).reshape(1, channels, positions)
    taken = as_samples(values, limit)
    if values.size <= limit:
        assert np.array_equal(taken, values.reshape(1, -1))
    assert np.unique(taken).size == taken.size  # nothing is taken twice


def test_each_sample_begins_elsewhere_so_that_together_they_visit_every_position():
    order = np.random.default_rng(0).permuted(np.tile(np.arange(4096.0), (100, 1)), axis=1)
    taken = as_samples(order, 256)
    visited = np.zeros(4096, bool)
    for row, values in zip(order, taken, strict=True):
        visited[np.isin(row, values)] = True
    assert visited.mean() > 0.95


def test_rounding_does_not_change_which_elements_are_taken():
    values = np.random.default_rng(0).normal(size=(50, 4096)).astype(np.float32)
    rounded = np.nextafter(values, np.float32(np.inf))
    taken = as_samples(values, 256)
    assert np.array_equal(as_samples(rounded, 256), np.nextafter(taken, np.float32(np.inf)))


@pytest.mark.parametrize("shape", [(64, 112, 112), (256, 56, 56), (2048, 7, 7), (3, 299, 299)])
def test_of_large_samples_a_good_part_of_the_limit_is_taken(shape):
    taken = as_samples(np.zeros((2, *shape), np.float32), SAMPLED)
    assert 0.5 * SAMPLED <= taken.shape[1] <= SAMPLED


@settings(max_examples=100)
@given(st.sampled_from([3, 8, 12, 24, 48, 64]), st.integers(2, 60), st.integers(20, 400))
def test_all_channels_are_visited_alike_when_they_come_last(channels, positions, limit):
    channel_of = np.tile(np.arange(channels), positions)[None]
    visits = np.bincount(as_samples(channel_of, limit)[0], minlength=channels)
    if channels * positions > limit >= 16 * channels:
        assert visits.min() >= 0.7 * visits.max()


@pytest.mark.parametrize("shape", [(32, 40, 40), (60, 33, 31), (512, 14, 14)])
@pytest.mark.parametrize("layout", [lambda values: values, channels_last])
def test_every_channel_row_and_column_is_visited(shape, layout):
    grids = np.meshgrid(*map(np.arange, shape), indexing="ij")
    for axis, indices in enumerate(grids):
        visits = np.bincount(as_samples(layout(indices[None]), SAMPLED).ravel())
        assert len(visits) == shape[axis]
        assert visits.min() >= 0.25 * visits.mean()


@pytest.mark.parametrize("limit", [None, 40])
def test_the_order_in_memory_changes_neither_extremes_nor_counts(limit):
    values = np.random.default_rng(0).normal(size=(4, 8, 6, 5)).astype(np.float32)
    one, other = (
        measured(each, channel_axis=1, limit=limit) for each in (values, channels_last(values))
    )
    assert (one.minimum, one.maximum, one.count) == (other.minimum, other.maximum, other.count)
    assert np.array_equal(one.channel_maximum, other.channel_maximum)
    assert one.histogram.total == other.histogram.total


def test_without_thinning_the_order_in_memory_changes_nothing():
    values = np.random.default_rng(0).normal(size=(4, 8, 6, 5)).astype(np.float32)
    one, other = (measured(each).to_arrays() for each in (values, channels_last(values)))
    assert {key: a.tobytes() for key, a in one.items()} == {
        key: a.tobytes() for key, a in other.items()
    }


def test_a_batch_of_one_is_thinned_like_a_larger_one_in_any_layout():
    values = channels_last(np.random.default_rng(0).normal(size=(3, 8, 16, 5)))
    whole = as_samples(values, 100)
    parts = [as_samples(values[i : i + 1], 100) for i in range(3)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_thinning_a_dense_tensor_copies_no_more_than_what_is_taken():
    values = channels_last(np.zeros((2, 64, 64, 64), np.float32))
    taken = as_samples(values, SAMPLED)
    assert taken.flags.c_contiguous
    assert taken.nbytes <= 2 * SAMPLED * 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_every_value_is_checked_whether_it_is_looked_at_or_not(bad):
    values = np.random.default_rng(0).normal(size=(1, 600)).astype(np.float32)
    for position in range(600):
        poor = values.copy()
        poor[0, position] = bad
        with pytest.raises(NonFiniteError) as caught:
            measured(poor, limit=50)
        assert caught.value.count == 1
