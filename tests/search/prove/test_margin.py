from __future__ import annotations

import numpy as np
import pytest

from octavo.errors import DataError, UsageError
from octavo.search.prove import Margin
from octavo.tolerance import Tolerance

RELATIVE, ABSOLUTE = Tolerance(0.01, relative=True), Tolerance(0.02, relative=False)
ZERO_ONE = (0.0, 1.0)


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (Margin(RELATIVE, bounds=ZERO_ONE), [0.01, 0.0, 1.0, -0.99]),
        (Margin(ABSOLUTE, bounds=ZERO_ONE), [0.02, 0.02, 1.02, -0.98]),
        (Margin(RELATIVE, False, ZERO_ONE), [0.01, 0.0, -1.0, 1.01]),
        (Margin(ABSOLUTE, False, ZERO_ONE), [0.02, 0.02, -0.98, 1.02]),
    ],
)
def test_differences_and_their_range(margin: Margin, expected: list[float]) -> None:
    fp32, int8 = np.array([1.0, 0.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0])
    found = margin.of(fp32, int8)
    assert found == pytest.approx(expected)
    assert margin.range() == pytest.approx((found.min(), found.max()))


def test_the_range_of_agreement_is_narrow() -> None:
    margin = Margin(RELATIVE, bounds=ZERO_ONE, fp32_bounds=(1.0, 1.0))
    assert margin.range() == pytest.approx((-0.99, 0.01))


def test_the_range_reaches_beyond_0_on_both_sides() -> None:
    """With a tolerance of all there is, nothing can be lost."""
    low, high = Margin(Tolerance(1.0, relative=False), bounds=ZERO_ONE).range()
    assert low < 0 < high == 2.0


def test_values_have_no_bounds() -> None:
    assert Margin(RELATIVE).of_values(30.0, 29.0) == pytest.approx(-0.7)


@pytest.mark.parametrize(
    ("fp32", "int8", "message"),
    [
        ([1.0], [1.5], "INT8 reach from 1.5"),
        ([-1.0], [1.0], "FP32 reach from -1"),
        ([1.0], [np.nan], "not finite"),
        ([1.0, 1.0], [1.0], "FP32 samples against"),
    ],
)
def test_wrong_scores_are_refused(fp32: list[float], int8: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Margin(RELATIVE, bounds=ZERO_ONE).of(np.array(fp32), np.array(int8))


def test_scores_without_bounds_have_no_range() -> None:
    with pytest.raises(UsageError, match="no bounds"):
        Margin(RELATIVE).range()


def test_impossible_bounds_are_refused() -> None:
    with pytest.raises(UsageError, match="between 1 and 0"):
        Margin(RELATIVE, bounds=(1, 0))
