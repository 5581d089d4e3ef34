"""Signal, noise and their ratio."""

import math

import numpy as np
import pytest

from octavo.measure import Energy


def test_a_tenth_of_noise_is_20_db():
    expected = np.array([3.0, -4.0], np.float32)

    assert Energy.of(expected, expected * np.float32(1.1)).sqnr_db == pytest.approx(20, abs=1e-4)


def test_parts_add_up_to_the_whole():
    expected, actual = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
    whole, parts = Energy.of(expected, actual), Energy()
    for rows in (slice(0, 2), slice(2, 6)):
        parts.add(expected[rows], actual[rows])

    assert parts.sqnr_db == pytest.approx(whole.sqnr_db)


@pytest.mark.parametrize(
    ("expected", "actual", "db"),
    [(1, 1, math.inf), (0, 0, math.inf), (0, 1, -math.inf), (1, np.nan, -math.inf),
     (1, np.inf, -math.inf)],
)  # fmt: skip
def test_there_is_a_ratio_without_noise_or_signal(expected, actual, db):
    assert Energy.of(np.full(2, expected, np.float32), np.full(2, actual, np.float32)).sqnr_db == db
