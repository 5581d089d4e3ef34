import numpy as np
import pytest

from octavo.bench.stats import (
    Block,
    latency,
    ratio_interval,
    sample_of,
    throughput,
    throughput_interval,
)


def block(*milliseconds, samples=1):
    """A block of calls of one instance that took so long."""
    return Block(samples * len(milliseconds), sum(milliseconds) / 1e3)


def nanoseconds(*milliseconds):
    return np.array([value * 1e6 for value in milliseconds]).astype(np.int64)


def test_throughput_is_completed_samples_over_wall_clock():
    blocks = [block(100, 100, samples=4), block(300, samples=4)]
    assert throughput(blocks) == pytest.approx(12 / 0.5)


def test_latency_percentiles_are_in_milliseconds():
    found = latency(nanoseconds(*range(1001, 0, -1)))
    percentiles = (found.p50, found.p90, found.p99, found.p999)
    assert percentiles == pytest.approx((501.0, 901.0, 991.0, 1000.0))


def test_few_latencies_are_all_in_the_sample():
    assert sample_of(nanoseconds(3, 1, 2), most=3) == (1.0, 2.0, 3.0)


def test_a_sample_of_many_latencies_keeps_both_ends_and_the_percentiles():
    values = np.random.default_rng(2).lognormal(2, 1, 50_000)
    found = sample_of(nanoseconds(*values))
    assert len(found) == 2000
    assert list(found) == sorted(found)
    assert (found[0], found[-1]) == pytest.approx((values.min(), values.max()), rel=1e-3)
    expected = np.percentile(values, [10, 50, 90, 99])
    assert np.percentile(found, [10, 50, 90, 99]) == pytest.approx(expected, rel=0.02)


def test_ratio_is_the_quotient_of_both_throughputs():
    baseline = [block(20, 20), block(30, 30)]
    candidate = [block(10, 10), block(10, 15)]
    found = ratio_interval(baseline, candidate)
    assert found.value == pytest.approx(throughput(candidate) / throughput(baseline))


def test_equal_pairs_leave_no_doubt():
    found = ratio_interval([block(20)] * 8, [block(10)] * 8)
    assert (found.low, found.value, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert found.width == pytest.approx(0.0)


def test_what_slows_both_blocks_of_a_pair_leaves_the_ratio_certain():
    slowdowns = [1, 3, 1, 1, 2, 5, 1, 1]
    baseline = [block(*[20 * slow] * 10) for slow in slowdowns]
    candidate = [block(*[10 * slow] * 10) for slow in slowdowns]
    assert ratio_interval(baseline, candidate).width < 1e-9
    assert throughput_interval(baseline).width > 0.5


def test_a_seed_gives_the_same_interval_again():
    rng = np.random.default_rng(5)
    blocks = [block(value) for value in rng.uniform(5, 20, 16)]
    first = ratio_interval(blocks[:8], blocks[8:], seed=3)
    assert first == ratio_interval(blocks[:8], blocks[8:], seed=3)
    assert first != ratio_interval(blocks[:8], blocks[8:], seed=4)


def test_one_pair_says_nothing_about_the_doubt():
    found = ratio_interval([block(20)], [block(10)])
    assert (found.value, found.low, found.high) == (2.0, 0.0, float("inf"))


@pytest.mark.parametrize("pairs", [8, 30])
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(pairs):
    rng = np.random.default_rng(11)
    trials = 400
    held = 0
    for trial in range(trials):
        slow = rng.lognormal(0.0, 0.5, pairs)  # shared by both blocks of a pair
        own = rng.lognormal(0.0, 0.1, (2, pairs))
        baseline = [block(2000 * a * b) for a, b in zip(slow, own[0], strict=True)]
        candidate = [block(1000 * a * b) for a, b in zip(slow, own[1], strict=True)]
        found = ratio_interval(baseline, candidate, seed=trial)
        held += found.low <= 2.0 <= found.high
    assert 0.92 <= held / trials <= 0.99
