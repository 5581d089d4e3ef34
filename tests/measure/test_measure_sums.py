from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from octavo.measure.samples import BLOCK
from octavo.measure.sums import ExactSum, Moments, RowSums

FLOATS = st.floats(-1e77, 1e77)


@given(st.lists(FLOATS), st.data())
def test_sum_is_exact_and_its_state_knows_no_order_or_grouping(values, data):
    shuffled = data.draw(st.permutations(values))
    cut = data.draw(st.integers(0, len(values)))
    at_once = ExactSum().plus(values)
    in_two = ExactSum().plus(shuffled[:cut]).plus(shuffled[cut:])
    assert at_once.exact == sum(map(Fraction, values))
    assert in_two.parts == at_once.parts


def test_sum_keeps_what_floats_would_round_away():
    assert ExactSum().plus([1e60, 1.0]).plus([-1e60]).parts == (1.0,)


def test_variance_survives_a_large_mean():
    values = [2.0**23, 2.0**23 + 1]
    moments = Moments(2, ExactSum().plus(values), ExactSum().plus(x * x for x in values))
    assert moments.variance == 0.25


def test_rows_are_summed_alike_in_blocks_of_any_height():
    rows = np.random.default_rng(0).lognormal(sigma=9, size=(40, 333)).astype(np.float32)
    together, apart = RowSums(), RowSums()
    together.add(rows)
    for row in rows:
        apart.add(row[None])
    assert together.moments() == apart.moments()


def test_moments_of_a_full_block_of_the_largest_floats_stay_finite():
    sums = RowSums()
    sums.add(np.full((1, BLOCK), np.finfo(np.float32).max, np.float32))
    moments = sums.moments()
    assert moments.count == BLOCK
    assert moments.mean == float(np.finfo(np.float32).max)
