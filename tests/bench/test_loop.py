from octavo.bench.loop import time_calls


def test_iterations_are_the_number_of_calls():
    calls = []
    timing = time_calls(calls.append, "batch", iterations=5)
    assert calls == ["batch"] * 5
    assert len(timing.latencies) == 5


def test_the_call_in_which_the_time_ends_is_completed(monkeypatch):
    ticks = iter([0, 400_000_000, 800_000_000, 1_200_000_000, 1_600_000_000])
    monkeypatch.setattr("octavo.bench.loop.time.perf_counter_ns", lambda: next(ticks))
    timing = time_calls(lambda batch: None, None, seconds=1.0)
    assert timing.started == 0
    assert timing.latencies == [400_000_000] * 3


def test_at_least_one_call_is_made_however_short_the_time():
    assert len(time_calls(lambda batch: None, None, seconds=0.0).latencies) == 1
