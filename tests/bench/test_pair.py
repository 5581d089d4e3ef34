import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from sleepy_backend import BATCH, sleepy

from octavo.bench import Limits, PairResult, measure_pair, measure_single
from octavo.bench.schedule import MIN_BLOCKS
from octavo.bench.side import Side
from octavo.bench.topology import available_topology
from octavo.errors import DataError, ModelError, OctavoError, UsageError
from octavo.target import Target

LIMITS = Limits(start=60, answer=20)
ONE = Target(threads=1)


def workers_of(process):
    return [
        child
        for child in process.children(recursive=True)
        if "octavo.bench.worker" in child.cmdline()
    ]


def all_dead(orphans):
    """Wait for the kernel to end them; where nothing collects orphans, the dead stay listed."""
    _, left = psutil.wait_procs(orphans, timeout=3)
    return all(worker.status() == psutil.STATUS_ZOMBIE for worker in left)


def no_worker_is_left():
    return workers_of(psutil.Process()) == []


def test_throughput_of_a_model_of_known_speed_is_the_truth(tmp_path):
    result = measure_single(sleepy(tmp_path, sleep=0.04), BATCH, ONE, seconds=2, limits=LIMITS)
    truth = 2 / 0.04  # two samples a call
    assert result.model.throughput == pytest.approx(truth, rel=0.03)
    assert result.throughput_ci95[0] <= result.model.throughput <= result.throughput_ci95[1]
    assert result.model.latency.p50 == pytest.approx(40, rel=0.03)
    assert result.seconds >= 2
    assert no_worker_is_left()


def test_ratio_of_two_models_of_known_speed_is_the_truth(tmp_path):
    slow = sleepy(tmp_path / "slow", "fp32", sleep=0.04)
    fast = sleepy(tmp_path / "fast", "int8", sleep=0.02)
    shares = []
    result = measure_pair(slow, fast, BATCH, ONE, seconds=20, limits=LIMITS, progress=shares.append)
    assert result.ratio == pytest.approx(2.0, rel=0.03)
    low, high = result.ratio_ci95
    assert low <= result.ratio <= high
    assert high - low < 0.05 * result.ratio
    assert result.blocks >= MIN_BLOCKS
    assert result.seconds < 19, "it ends when the interval is narrow, long before the time is up"
    assert (result.baseline.label, result.candidate.label) == ("fp32", "int8")
    assert len(result.baseline.cores) == 1
    assert result.baseline.cores == result.candidate.cores
    assert shares == sorted(shares)
    assert len(shares) == result.blocks
    assert no_worker_is_left()


def test_little_time_still_gives_the_fewest_blocks_and_a_json_form(tmp_path):
    model = sleepy(tmp_path, sleep=0.001)
    result = measure_pair(model, model, BATCH, ONE, seconds=0.1, limits=LIMITS)
    assert result.blocks == MIN_BLOCKS
    written = json.loads(json.dumps(result.to_json()))
    assert set(written) == {
        *("baseline", "candidate", "ratio", "ratio_ci95", "blocks", "seconds", "instances"),
        *("cores_per_instance", "batch_size", "noisy", "noise"),
    }
    assert written["batch_size"] == 2
    assert set(written["candidate"]["latency_ms"]) == {"p50", "p90", "p99", "p999"}
    assert written["candidate"]["peak_memory_mb"] > 5
    assert written["noisy"] == bool(written["noise"]["reasons"])


def test_the_blocks_alternate_a_b_b_a_and_never_overlap(tmp_path, monkeypatch):
    spans = []

    def run(side, schedule, original=Side.run):
        original(side, schedule)
        (calls,) = side.windows[-1].calls
        spans.append((calls.started, calls.ended, side.label))

    monkeypatch.setattr(Side, "run", run)
    models = [sleepy(tmp_path / label, label, sleep=0.001) for label in "AB"]
    measure_pair(*models, BATCH, ONE, seconds=0.1, limits=LIMITS)
    assert "".join(label for _, _, label in sorted(spans)) == "ABBA" * (MIN_BLOCKS // 2)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(sorted(spans)))


def test_a_result_is_read_back_as_it_was_written(tmp_path):
    model = sleepy(tmp_path, sleep=0.001)
    result = measure_pair(model, model, BATCH, ONE, seconds=0.1, limits=LIMITS)
    written = json.loads(json.dumps(result.to_json()))
    assert PairResult.from_json(written).to_json() == result.to_json()
    for side in ("baseline", "candidate"):  # as it was before there were instances
        del written[side]["per_instance"], written[side]["throughput_ci95"]
        del written[side]["latency_ms"]["p999"]
    old = PairResult.from_json(written)
    assert (old.ratio, old.candidate.per_instance) == (result.ratio, ())


def test_a_wide_interval_is_called_noisy(tmp_path, monkeypatch):
    monkeypatch.setattr("octavo.bench.pair.WIDTH", 1e-9)
    model = sleepy(tmp_path, sleep=0.001)
    result = measure_pair(model, model, BATCH, ONE, seconds=0.2, limits=LIMITS)
    assert result.noisy
    assert any("95 % interval of the ratio is still" in text for text in result.noise.reasons)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_threads_that_a_framework_moves_elsewhere_are_called_noise(tmp_path):
    everywhere = sorted(os.sched_getaffinity(0))
    model = sleepy(tmp_path, "wanderer", sleep=0.001, escape=everywhere)
    result = measure_single(model, BATCH, ONE, seconds=0.1, limits=LIMITS)
    assert list(result.model.cores) == everywhere
    assert any("'wanderer' moved threads to cores" in text for text in result.noise.reasons)


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("die", "the worker that runs 'int8' was killed by SIGKILL"),
        ("exit", "the worker that runs 'int8' ended with status 7; its last words: out of luck"),
        ("hang", "the worker that runs 'int8' gave no answer"),
    ],
)
def test_a_worker_that_fails_is_reported_and_the_other_is_ended(tmp_path, then, message):
    good = sleepy(tmp_path / "good", "fp32", sleep=0.001)
    bad = sleepy(tmp_path / "bad", "int8", sleep=0.001, good_calls=400, then=then)
    with pytest.raises(OctavoError, match=message):
        measure_pair(good, bad, BATCH, ONE, seconds=2, limits=Limits(start=60, answer=1))
    assert no_worker_is_left()


def test_a_model_that_cannot_be_loaded_or_run_gives_its_own_error(tmp_path):
    good = sleepy(tmp_path / "good", "fp32")
    broken = sleepy(tmp_path / "broken", "int8", broken="no such file")
    refusing = sleepy(tmp_path / "refusing", "int8", good_calls=0, then="refuse")
    with pytest.raises(ModelError, match="cannot run 'int8': no such file"):
        measure_pair(good, broken, BATCH, ONE, seconds=1, limits=LIMITS)
    with pytest.raises(DataError, match="cannot run 'int8': input 'x' has a wrong shape"):
        measure_pair(good, refusing, BATCH, ONE, seconds=1, limits=LIMITS)
    assert no_worker_is_left()


def test_what_cannot_be_measured_is_refused_before_anything_starts(tmp_path):
    model = sleepy(tmp_path)
    with pytest.raises(UsageError, match="threads asked for"):
        measure_single(model, BATCH, Target(threads=4096), seconds=1)
    with pytest.raises(UsageError, match="give a time above 0"):
        measure_pair(model, model, BATCH, ONE, seconds=0)
    with pytest.raises(DataError, match="Python objects"):
        measure_single(model, {"x": np.array([None])}, ONE, seconds=1)


LONG_RUN = """
import sys
from pathlib import Path
from sleepy_backend import BATCH, sleepy
from octavo.bench import measure_pair, pair
from octavo.target import Target

pair.WIDTH = 0.0  # only the time ends it
models = [sleepy(Path(sys.argv[1]) / label, label, sleep=float(sys.argv[2])) for label in "AB"]
if __name__ == "__main__":
    measure_pair(*models, BATCH, Target(threads=1), seconds=600, instances=int(sys.argv[3]),
                 progress=lambda share: print("running", flush=True))
"""


INSTANCES = min(2, len(available_topology().cores))


@pytest.fixture
def long_run(tmp_path, monkeypatch):
    """A process in the middle of a benchmark, and the workers of its two models."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", LONG_RUN, str(tmp_path / "models"), "0.002", str(INSTANCES)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"running\n"
        yield process, workers_of(psutil.Process(process.pid))
        process.kill()


def test_an_interrupt_leaves_no_process_and_no_file(long_run, tmp_path):
    process, workers = long_run
    assert len(workers) == 2 * INSTANCES
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does, to all of its group
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.splitlines()[-1] == b"KeyboardInterrupt"
    assert not [worker for worker in workers if worker.is_running()]
    assert list(tmp_path.glob("octavo-bench-*")) == []


def test_workers_do_not_outlive_a_parent_that_was_killed(long_run):
    process, workers = long_run
    assert len(workers) == 2 * INSTANCES
    process.kill()
    assert all_dead(workers)


def test_an_interrupt_while_workers_start_leaves_no_process(tmp_path):
    """It comes as soon as the second worker is seen, perhaps before its parent has a hold of it."""
    started = time.monotonic()
    command = [sys.executable, "-c", LONG_RUN, str(tmp_path), "600", "1"]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        parent = psutil.Process(process.pid)
        while len(workers := workers_of(parent)) < 2:
            assert time.monotonic() < started + 60
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors.splitlines()[-1] == b"KeyboardInterrupt"
    assert all_dead(workers)
