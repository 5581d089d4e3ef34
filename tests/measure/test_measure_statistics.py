import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from octavo.errors import DataError, NonFiniteError, UsageError
from octavo.measure import TensorStatistics
from octavo.measure.samples import BLOCK

FLOAT32 = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-8, 8, width=32),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38]),
)


@st.composite
def split_samples(draw, elements=FLOAT32, dtype=np.float32):
    """Return samples [N, C, 3] and where to cut them into batches."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 3)), 3)
    samples = draw(hnp.arrays(dtype, shape, elements=elements))
    cuts = draw(st.lists(st.integers(0, len(samples)), max_size=4))
    return samples, sorted(cuts)


def measured(batches, **arguments):
    statistics = TensorStatistics(**arguments)
    for batch in batches:
        statistics.update(batch)
    return statistics


def state(statistics):
    return {key: array.tobytes() for key, array in statistics.to_arrays().items()}


def exact_bins(samples, histogram):
    width = Fraction(2) ** histogram.width_exponent
    counts = np.zeros_like(histogram.counts)
    for value in samples.ravel().tolist():
        counts[Fraction(value) // width - histogram.first] += 1
    return counts


@given(split_samples(), st.sampled_from([None, 1, -1]), st.sampled_from([None, 1, 4]))
def test_any_split_gives_the_same_bits(split, channel_axis, limit):
    samples, cuts = split
    arguments = {"channel_axis": channel_axis, "limit": limit}
    whole = measured([samples], **arguments)
    parts = measured(np.split(samples, cuts), **arguments)
    assert state(parts) == state(whole)


@given(split_samples(), st.randoms(use_true_random=False))
def test_neither_order_nor_merging_changes_a_bit(split, random):
    samples, cuts = split
    parts = [measured([part], channel_axis=1) for part in np.split(samples, cuts)]
    random.shuffle(parts)
    merged = TensorStatistics(channel_axis=1)
    for part in parts:
        merged.merge(part)
    assert state(merged) == state(measured([samples], channel_axis=1))


@pytest.mark.parametrize("size", [1, 7, 129, 4095, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("limit", [None, 500])
def test_batches_of_1_7_and_32_give_the_same_bits_at_every_sample_size(size, limit):
    random = np.random.default_rng(size)
    samples = random.standard_t(2, size=(32, size)).astype(np.float32)
    states = [
        state(measured(np.split(samples, range(batch, 32, batch)), limit=limit))
        for batch in (1, 7, 32)
    ]
    assert states[0] == states[1] == states[2]


@given(split_samples())
def test_histogram_counts_every_value_in_the_bin_that_holds_it(split):
    samples, cuts = split
    histogram = measured(np.split(samples, cuts)).histogram
    assert np.array_equal(histogram.counts, exact_bins(samples, histogram))


@given(split_samples(elements=st.floats(-1e38, 1e38), dtype=np.float64))
def test_float64_is_counted_exactly_too(split):
    samples, _ = split
    statistics = measured([samples])
    assert (statistics.minimum, statistics.maximum) == (samples.min(), samples.max())
    assert np.array_equal(statistics.histogram.counts, exact_bins(samples, statistics.histogram))


def test_values_beside_every_edge_fall_on_their_own_side():
    edges = np.arange(-1000, 1000, dtype=np.float32) / 512
    below = np.nextafter(edges, np.float32(-np.inf))
    statistics = measured([edges[None], below[None]])
    assert np.array_equal(
        statistics.histogram.counts,
        exact_bins(np.concatenate([edges, below]), statistics.histogram),
    )


@pytest.mark.parametrize("channel_axis", [None, 1])
def test_negative_zeros_are_zeros(channel_axis):
    zeros = [np.full((1, 2), zero, np.float32) for zero in (-0.0, 0.0, 1.0)]
    states = [
        state(measured(order, channel_axis=channel_axis))
        for order in (zeros, zeros[::-1], [*zeros[1:], zeros[0]])
    ]
    assert states[0] == states[1] == states[2]


def test_a_tiny_negative_value_stays_below_zero_beside_a_huge_one():
    statistics = measured([np.array([[-1e-40, 3.4e38]], np.float32)])
    assert statistics.histogram.negative.tolist() == [1]


@given(split_samples(), st.sampled_from([None, 1, 3]))
def test_extremes_are_exact_at_any_limit(split, limit):
    samples, cuts = split
    statistics = measured(np.split(samples, cuts), channel_axis=1, limit=limit)
    assert statistics.minimum == samples.min()
    assert statistics.maximum == samples.max()
    assert np.array_equal(statistics.channel_minimum, samples.min(axis=(0, 2)))
    assert np.array_equal(statistics.channel_maximum, samples.max(axis=(0, 2)))
    assert statistics.count == samples.size


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -3])
def test_channel_extremes_along_every_axis(axis):
    samples = np.random.default_rng(1).normal(size=(5, 3, 4, 2)).astype(np.float32)
    others = tuple({0, 1, 2, 3} - {axis % 4})
    statistics = measured([samples[:2], samples[2:]], channel_axis=axis)
    assert np.array_equal(statistics.channel_minimum, samples.min(axis=others))
    assert np.array_equal(statistics.channel_maximum, samples.max(axis=others))


def test_moments_agree_with_numpy():
    samples = np.random.default_rng(2).normal(3, 2, size=(9, 50_000)).astype(np.float32)
    statistics = measured(np.split(samples, 3))
    assert statistics.mean == pytest.approx(samples.mean(dtype=np.float64), rel=1e-13)
    assert statistics.variance == pytest.approx(samples.var(dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.25, 3e38, -1e-45])
def test_constant_tensor(value):
    constant = np.full((3, 1000), value, np.float32)
    statistics = measured([constant])
    assert statistics.minimum == statistics.maximum == statistics.mean == constant[0, 0]
    assert statistics.variance == 0.0
    assert statistics.histogram.counts.max() == statistics.histogram.total == 3000


@pytest.mark.parametrize("dtype", ["float16", "int8", "uint8", "int16", "int32", "int64", "bool"])
def test_other_types_are_measured_as_the_numbers_they_are(dtype):
    samples = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    assert state(measured([samples])) == state(measured([samples.astype(np.float32)]))


def test_integers_beyond_float32_keep_their_extremes():
    statistics = measured([np.array([[-(2**30) - 1, 2**30 + 1]], np.int64)])
    assert (statistics.minimum, statistics.maximum) == (-(2**30) - 1, 2**30 + 1)


def test_strided_memory_is_measured_like_contiguous():
    samples = np.random.default_rng(3).normal(size=(4, 6, 8)).astype(np.float32)
    view = samples.transpose(0, 2, 1)[:, ::2]
    assert state(measured([view])) == state(measured([view.copy()]))


def test_samples_of_different_sizes():
    short, long = np.ones((2, 3), np.float32), np.full((1, 5), 2, np.float32)
    statistics = measured([short, long])
    assert statistics.count == 11
    assert statistics.mean == pytest.approx(16 / 11)


def test_scalars_and_empty_batches():
    statistics = measured([np.float32(2), np.empty((0, 4), np.float32), np.empty((3, 0))])
    assert (statistics.count, statistics.minimum, statistics.maximum) == (1, 2.0, 2.0)


def test_nothing_seen():
    statistics = TensorStatistics(channel_axis=1)
    assert (statistics.count, statistics.minimum, statistics.maximum) == (0, np.inf, -np.inf)
    assert np.isnan(statistics.mean) and np.isnan(statistics.variance)
    assert statistics.channel_minimum is None
    assert statistics.histogram.total == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel_axis", [None, 1])
def test_non_finite_values_are_refused_and_leave_no_trace(bad, channel_axis):
    good = np.ones((2, 3), np.float32)
    poor = np.array([[1, bad, 5], [bad, 0, -9]], np.float32)
    statistics = measured([good], channel_axis=channel_axis)
    before = state(statistics)
    with pytest.raises(NonFiniteError) as caught:
        statistics.update(poor)
    assert caught.value.count == 2
    assert state(statistics) == before


def test_values_beyond_float32_are_refused():
    with pytest.raises(NonFiniteError):
        TensorStatistics().update(np.array([[1e39]]))


@pytest.mark.parametrize("values", [np.array([["a"]]), np.array([[1j]]), np.array([[None]])])
def test_values_that_are_no_real_numbers_are_refused(values):
    with pytest.raises(DataError, match="expected real numbers"):
        TensorStatistics().update(values)


def test_another_number_of_channels_is_refused_and_leaves_no_trace():
    statistics = measured([np.ones((1, 3, 2))], channel_axis=1)
    before = state(statistics)
    with pytest.raises(DataError, match=r"4 channels.*had 3"):
        statistics.update(np.full((1, 4, 2), 9.0))
    assert state(statistics) == before


@pytest.mark.parametrize("axis", [2, -2, -3])
def test_a_channel_axis_that_is_not_there_is_refused(axis):
    with pytest.raises(DataError, match="no channel axis"):
        TensorStatistics(channel_axis=axis).update(np.ones((2, 2)))


@pytest.mark.parametrize("arguments", [{"channel_axis": 0}, {"bins": 15}, {"limit": 0}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(UsageError, match="expected"):
        TensorStatistics(**arguments)


def test_statistics_made_otherwise_are_not_merged():
    with pytest.raises(UsageError, match="same arguments"):
        TensorStatistics(limit=2).merge(TensorStatistics())


def test_memory_does_not_grow_with_the_samples():
    def size(batches):
        batch = np.random.default_rng(5).normal(size=(2, 10_000)).astype(np.float32)
        arrays = measured([batch] * batches).to_arrays()
        return sum(sys.getsizeof(array.tobytes()) for array in arrays.values())

    assert size(100) <= size(1) + 64
