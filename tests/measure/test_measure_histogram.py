from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.measure.histogram import MIN_EXPONENT, Histogram, bin_of, exponent_for

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
EXPONENTS = st.integers(MIN_EXPONENT, 120)
COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=12)


def exact_bin(value, exponent):
    return Fraction(value) // Fraction(2) ** exponent


@given(st.floats(allow_nan=False, allow_infinity=False), EXPONENTS)
def test_bin_is_the_floor_of_the_exact_quotient(value, exponent):
    if abs(value) < 2.0**900:  # the quotient itself must be a float
        assert bin_of(value, exponent) == exact_bin(value, exponent)


def test_bin_of_a_negative_value_whose_quotient_underflows_is_below_zero():
    assert bin_of(-5e-324, 100) == -1
    assert bin_of(-0.0, 100) == 0


@given(FLOATS, FLOATS, st.sampled_from([16, 100, 2048]))
def test_width_is_the_smallest_that_reaches_both_ends(one, other, bins):
    low, high = min(one, other, 0.0), max(one, other, 0.0)

    def needed(exponent):
        return exact_bin(high, exponent) - exact_bin(low, exponent) + 1

    exponent = exponent_for(low, high, bins)
    assert needed(exponent) <= bins
    assert exponent == MIN_EXPONENT or needed(exponent - 1) > bins


def test_width_of_zeros_is_the_smallest_normal_float():
    assert exponent_for(0.0, 0.0, 2048) == MIN_EXPONENT
    assert np.finfo(np.float32).tiny == 2.0**MIN_EXPONENT


@given(COUNTS, st.integers(0, 11), st.integers(0, 5))
def test_widening_merges_neighbours_and_loses_nothing(counts, before_zero, doublings):
    first = -min(before_zero, len(counts) - 1)
    narrow = Histogram(0, first, np.array(counts, np.int64))
    span = 2048.0 * 2**doublings - 1
    wide = narrow.covering(first + 0.0, span, 2048)

    expected = np.zeros_like(wide.counts)
    for index, count in enumerate(counts):
        expected[exact_bin(first + index, wide.width_exponent) - wide.first] += count
    assert wide.width_exponent >= doublings
    assert np.array_equal(wide.counts, expected)
    assert wide.total == sum(counts)


def test_widening_from_the_narrowest_to_the_widest_bins_keeps_the_sides():
    narrow = Histogram(MIN_EXPONENT, -1, np.array([3, 4], np.int64))
    wide = narrow.covering(-3e38, 3e38, 2048)
    assert (wide.negative[0], wide.positive[0], wide.total) == (3, 4, 7)


def test_an_unchanged_extent_changes_nothing():
    histogram = Histogram(0, -1, np.array([3, 4], np.int64))
    grown = histogram.covering(-900.0, 900.0, 2048)
    assert grown.covering(-900.0, 900.0, 2048) is grown


def test_edges_are_anchored_at_zero():
    histogram = Histogram(-1, -2, np.ones(5, np.int64))
    assert histogram.edges.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
    assert histogram.last == 2


def test_sides_and_magnitude_count_outwards_from_zero():
    histogram = Histogram(0, -2, np.array([1, 2, 30, 4, 5, 6], np.int64))
    assert histogram.negative.tolist() == [2, 1]
    assert histogram.positive.tolist() == [30, 4, 5, 6]
    assert histogram.magnitude.tolist() == [32, 5, 5, 6]


@pytest.mark.parametrize(
    ("first", "counts", "spike"),
    [
        (-1, [7, 100, 40], 60),
        (-1, [40, 100, 7], 60),
        (0, [100, 90], 10),
        (-1, [90, 100], 10),
        (0, [10, 90], 0),
        (0, [100], 0),
    ],
)
def test_spike_is_what_bin_zero_has_above_its_neighbours(first, counts, spike):
    assert Histogram(0, first, np.array(counts, np.int64)).spike == spike


def test_equality_compares_bins_and_counts():
    one = Histogram(0, 0, np.array([1, 2], np.int64))
    assert one == Histogram(0, 0, np.array([1, 2], np.int64))
    assert one != Histogram(0, 0, np.array([1, 3], np.int64))
    assert one != Histogram(1, 0, np.array([1, 2], np.int64))
    assert one != "histogram"
