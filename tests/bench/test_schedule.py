import pytest

from octavo.bench.schedule import MIN_BLOCKS, check_seconds, plan_schedule
from octavo.errors import UsageError


def test_a_fast_model_gets_blocks_of_a_tenth_of_a_second():
    schedule = plan_schedule(latency=0.001, seconds=30, sides=2)
    assert (schedule.block, schedule.lead_in) == (0.1, 0.01)


def test_a_slower_model_gets_several_calls_a_block():
    assert plan_schedule(latency=0.1, seconds=30, sides=2).block == pytest.approx(0.5)


def test_all_blocks_fit_into_the_time():
    schedule = plan_schedule(latency=0.5, seconds=16, sides=2)
    assert schedule.block * 2 * MIN_BLOCKS <= 16


def test_a_call_longer_than_the_caches_matter_gets_no_lead_in():
    assert plan_schedule(latency=0.5, seconds=30, sides=2).lead_in == 0.0


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_is_refused(seconds):
    with pytest.raises(UsageError, match="give a time above 0"):
        check_seconds(seconds)
