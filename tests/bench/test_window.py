"""What several instances complete together, by arithmetic."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.bench.window import Calls, Window, latencies

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

LATENCIES = st.lists(st.integers(1_000, 50_000_000), min_size=1, max_size=40)
STARTS = st.integers(10**15, 10**15 + 5_000_000)
CALLS = st.builds(lambda start, found: Calls(start, np.array(found, np.int64)), STARTS, LATENCIES)


def calls(started, *found):
    return Calls(started, np.array(found, np.int64))


def test_one_instance_has_all_of_its_calls_over_all_of_its_time():
    window = Window((calls(50, 10, 20, 30),))
    assert window.bounds == (50, 110)
    block = window.block(samples=4)
    assert block.completed == pytest.approx(12)
    assert block.seconds == pytest.approx(60e-9)


def test_the_window_is_the_time_in_which_all_instances_run():
    window = Window((calls(100, 40, 40), calls(110, 30, 30, 30), calls(90, 200)))
    assert window.bounds == (110, 180)


def test_a_call_that_crosses_an_end_counts_by_its_part():
    window = Window((calls(0, 100), calls(0, 40, 40, 40)))
    assert window.bounds == (0, 100)
    assert window.block_of(1, samples=1).completed == pytest.approx(2.5)
    assert window.block(samples=1).completed == pytest.approx(3.5)


def test_a_call_that_began_after_the_window_is_not_among_the_latencies():
    window = Window((calls(0, 100), calls(0, 60, 41, 7)))
    assert latencies([window, window], 1).tolist() == [60, 41, 60, 41]
    assert latencies([window], 0).tolist() == [100]


def test_instances_that_never_ran_together_get_all_of_the_time():
    window = Window((calls(0, 10, 10), calls(80, 20)))
    assert window.bounds == (0, 100)
    assert window.block(samples=1).completed == pytest.approx(3)
    assert window.block(samples=1).seconds == pytest.approx(100e-9)


@BUSY
@given(
    st.lists(
        st.tuples(STARTS, st.integers(100_000, 20_000_000)),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 32),
)
def test_instances_of_constant_speed_add_up_to_their_speeds(instances, samples):
    block_ns = 100_000_000
    window = Window(
        tuple(calls(start, *[each] * (block_ns // each + 1)) for start, each in instances)
    )
    block = window.block(samples)
    truth = sum(samples / (each / 1e9) for _, each in instances)
    assert block.completed / block.seconds == pytest.approx(truth, rel=1e-6)


@BUSY
@given(CALLS, st.lists(st.floats(-0.2, 1.2), min_size=3, max_size=3))
def test_parts_of_the_time_add_up_and_never_exceed_the_calls(found, shares):
    span = found.ended - found.started
    first, middle, last = sorted(found.started + round(share * span) for share in shares)
    left, right = found.completed(first, middle), found.completed(middle, last)
    assert left >= 0 and right >= 0
    assert left + right == pytest.approx(found.completed(first, last), abs=1e-6)
    assert left + right <= len(found.latencies) + 1e-6


@BUSY
@given(CALLS, st.floats(0, 1), st.floats(0, 1))
def test_the_count_is_that_of_a_plain_loop(found, one, other):
    span = found.ended - found.started
    begin, end = sorted(found.started + round(share * span) for share in (one, other))
    counted, now = 0.0, found.started
    for latency in found.latencies.tolist():
        overlap = min(end, now + latency) - max(begin, now)
        counted += max(0, overlap) / latency
        now += latency
    assert found.completed(begin, end) == pytest.approx(counted, abs=1e-6)


@BUSY
@given(st.lists(CALLS, min_size=1, max_size=5), st.integers(1, 8))
def test_all_together_are_the_sum_of_each(found, samples):
    window = Window(tuple(found))
    each = [window.block_of(number, samples) for number in range(len(found))]
    assert {block.seconds for block in each} == {window.seconds}
    assert window.block(samples).completed == pytest.approx(sum(b.completed for b in each))
    most = samples * sum(len(one.latencies) for one in found)
    assert 0 < window.block(samples).completed <= most + 1e-6
    assert all(len(latencies([window], number)) >= 1 for number in range(len(found)))
