import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.report.axis import Axis, axis_from_zero, axis_of, tick_text

POSITIVE = st.floats(1e-4, 1e9)


def mantissas(axis):
    """Return the first digits of the distances of linear ticks, of the ticks themselves else."""
    numbers = axis.ticks if axis.logarithmic else [axis.ticks[1] - axis.ticks[0]]
    return {f"{number:.6e}".split("e")[0] for number in numbers}


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (590.4, (0, 100, 200, 300, 400, 500, 600)),
        (600, (0, 100, 200, 300, 400, 500, 600)),
        (2.3, (0, 0.5, 1, 1.5, 2, 2.5)),
        (0, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    ],
)
def test_an_axis_from_zero_ends_at_a_round_number(largest, ticks):
    assert axis_from_zero(largest) == Axis(ticks)


def test_values_that_are_far_apart_are_shown_by_their_logarithm():
    assert axis_of([1.5, 40]) == Axis((1, 2, 5, 10, 20, 50), logarithmic=True)
    assert axis_of([1.5, 15]).logarithmic is False


def test_many_powers_of_ten_are_thinned():
    ticks = axis_of([0.002, 3e6], parts=4).ticks
    assert ticks[0] <= 0.002
    assert ticks[-1] >= 3e6
    assert len(ticks) <= 6


def test_equal_values_lie_in_the_middle():
    axis = axis_of([3.0, 3.0])
    assert (axis.ticks[0], axis.ticks[-1]) == (1.5, 4.5)
    assert axis.position(3.0) == pytest.approx(0.5)


@given(st.lists(POSITIVE, min_size=1, max_size=5), st.integers(2, 8))
def test_round_ticks_hold_all_values_and_are_neither_few_nor_many(values, parts):
    axis = axis_of(values, parts)
    assert axis.ticks[0] <= min(values) * (1 + 1e-9)
    assert axis.ticks[-1] >= max(values) * (1 - 1e-9)
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert 2 <= len(axis.ticks) <= parts + 3
    assert {float(found) for found in mantissas(axis)} <= {1.0, 2.0, 5.0}
    assert all(0 <= axis.position(value) <= 1 for value in values)


def test_positions_are_shares_of_the_axis_and_never_beyond():
    assert Axis((0, 5, 10)).position(2.5) == 0.25
    assert Axis((1, 10, 100), logarithmic=True).position(10) == pytest.approx(0.5)
    assert (Axis((0, 10)).position(-3), Axis((0, 10)).position(11)) == (0, 1)


@pytest.mark.parametrize(
    ("value", "text"), [(12000.0, "12,000"), (0.25, "0.25"), (1.0, "1"), (0.001, "0.001")]
)
def test_ticks_are_written_short(value, text):
    assert tick_text(value) == text
