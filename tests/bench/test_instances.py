"""Several instances of one model, each pinned to cores of its own."""

import itertools
import time
from pathlib import Path

import psutil
import pytest
from sleepy_backend import BATCH, sleepy

from octavo.bench import Limits, measure_pair, measure_single
from octavo.bench.cores import parse_cpu_list
from octavo.bench.places import Layout, places
from octavo.bench.process import Worker
from octavo.bench.schedule import plan_schedule
from octavo.bench.side import started
from octavo.bench.topology import available_topology
from octavo.errors import DataError, OctavoError, UsageError
from octavo.target import Target

LIMITS = Limits(start=60, answer=20)
ONE = Target(threads=1)
SAMPLES = 2  # of a call

pytestmark = pytest.mark.skipif(
    len(available_topology().cores) < 2, reason="needs two physical cores"
)


def workers():
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "octavo.bench.worker" in child.cmdline()]


def allowed(pid):
    """The CPUs that the kernel lets a process run on."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith("Cpus_allowed_list:"))
    return parse_cpu_list(found.split(":")[1])


def seen_while_running(tmp_path, instances, threads):
    """Measure a model; return the CPUs of every worker as the kernel tells while it is running."""
    found = {}

    def look(share):
        found.update({worker.pid: allowed(worker.pid) for worker in workers()})

    model = sleepy(tmp_path, sleep=0.002)
    result = measure_single(
        model, BATCH, Target(threads=threads), seconds=0.2, instances=instances, limits=LIMITS,
        progress=look,
    )  # fmt: skip
    assert workers() == []
    return sorted(found.values()), result


def test_two_instances_of_one_core_are_pinned_apart(tmp_path):
    chosen = places(available_topology(), Layout(2, 1))
    found, result = seen_while_running(tmp_path, instances=2, threads=1)
    assert found == sorted(place.cores for place in chosen)
    assert len(set(found)) == 2
    assert [one.cores for one in result.model.per_instance] == [place.cores for place in chosen]
    assert (result.instances, result.cores_per_instance) == (2, 1)


def test_one_instance_of_two_cores_is_pinned_to_both(tmp_path):
    (place,) = places(available_topology(), Layout(1, 2))
    found, result = seen_while_running(tmp_path, instances=1, threads=2)
    assert found == [tuple(sorted(place.cores))]
    assert result.model.cores == tuple(sorted(place.cores))
    assert (result.instances, result.cores_per_instance) == (1, 2)


def test_the_aggregate_of_a_model_of_known_speed_is_the_truth(tmp_path):
    model = sleepy(tmp_path, sleep=0.04)
    result = measure_single(model, BATCH, ONE, seconds=2, instances=2, limits=LIMITS)
    assert result.model.throughput == pytest.approx(2 * SAMPLES / 0.04, rel=0.03)
    low, high = result.model.throughput_ci95
    assert low <= result.model.throughput <= high
    assert result.model.latency.p50 == pytest.approx(40, rel=0.03)
    for one in result.model.per_instance:
        assert one.throughput == pytest.approx(SAMPLES / 0.04, rel=0.03)


def test_instances_of_unequal_speed_add_up_to_what_they_complete(tmp_path):
    """Their number over the mean latency would be 2 / 0.045: 133 samples per second, not 200."""
    first, second = (place.cores[0] for place in places(available_topology(), Layout(2, 1)))
    model = sleepy(tmp_path, sleep_by_core={str(first): 0.015, str(second): 0.06})
    result = measure_single(model, BATCH, ONE, seconds=3, instances=2, limits=LIMITS)
    fast, slow = result.model.per_instance
    assert fast.throughput == pytest.approx(SAMPLES / 0.015, rel=0.03)
    assert slow.throughput == pytest.approx(SAMPLES / 0.06, rel=0.03)
    assert result.model.throughput == pytest.approx(SAMPLES / 0.015 + SAMPLES / 0.06, rel=0.03)
    assert slow.latency.p50 == pytest.approx(60, rel=0.03)
    assert result.model.latency.p50 == pytest.approx(15, rel=0.05)
    assert result.model.latency.p999 == pytest.approx(60, rel=0.1)


def test_the_ratio_is_that_of_all_instances(tmp_path):
    slow = sleepy(tmp_path / "slow", "fp32", sleep=0.04)
    fast = sleepy(tmp_path / "fast", "int8", sleep=0.02)
    result = measure_pair(slow, fast, BATCH, ONE, seconds=20, instances=2, limits=LIMITS)
    assert result.ratio == pytest.approx(2.0, rel=0.03)
    assert result.instances == 2
    assert result.seconds < 19
    assert len(result.baseline.per_instance) == len(result.candidate.per_instance) == 2
    assert workers() == []


def test_instances_begin_together_and_the_other_model_stands_still(tmp_path):
    models = [sleepy(tmp_path / label, label, sleep=0.005) for label in "AB"]
    chosen = places(available_topology(), Layout(2, 1))
    schedule = plan_schedule(0.005, 2.0, sides=2)
    skews = []
    with started(models, BATCH, chosen, LIMITS) as sides:
        for side in (*sides, *sides[::-1], *sides):
            side.run(schedule)
            begins = [calls.started for calls in side.windows[-1].calls]
            skews.append((max(begins) - min(begins)) / 1e9)
            states = {worker.pid: wait_until_stopped(worker.pid) for worker in all_of(sides)}
            assert set(states.values()) == {psutil.STATUS_STOPPED}
    assert sorted(skews)[len(skews) // 2] < 0.01
    first, second = ([window.bounds for window in side.windows] for side in sides)
    spans = sorted(first + second)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def all_of(sides) -> list[Worker]:
    return [worker for side in sides for worker in side.workers]


def wait_until_stopped(pid):
    deadline = time.monotonic() + 10
    while (status := psutil.Process(pid).status()) != psutil.STATUS_STOPPED:
        if time.monotonic() > deadline:
            break
    return status


def test_every_worker_is_told_its_threads(tmp_path):
    found = []
    facts = tmp_path / "facts"
    model = sleepy(tmp_path / "model", sleep=0.001, facts=str(facts))
    measure_single(
        model, BATCH, ONE, seconds=0.1, instances=2, limits=LIMITS,
        progress=lambda share: found.extend(workers()),
    )  # fmt: skip
    assert len({worker.pid for worker in found}) == 2
    assert '"threads": "1"' in facts.read_text()


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("die", r"runs 'int8' \(instance 2 of 2\) was killed by SIGKILL"),
        ("exit", r"runs 'int8' \(instance 2 of 2\) ended with status 7.*: out of luck"),
        ("hang", r"runs 'int8' \(instance 2 of 2\) gave no answer within"),
    ],
)
def test_an_instance_that_fails_is_named_and_all_others_are_ended(tmp_path, then, message):
    last = places(available_topology(), Layout(2, 1))[1].cores
    good = sleepy(tmp_path / "good", "fp32", sleep=0.001)
    bad = sleepy(
        tmp_path / "bad", "int8", sleep=0.001, good_calls=400, then=then, bad_cores=list(last)
    )
    limits = Limits(start=60, answer=1)
    with pytest.raises(OctavoError, match=message):
        measure_pair(good, bad, BATCH, ONE, seconds=2, instances=2, limits=limits)
    assert workers() == []


def test_an_instance_that_refuses_its_inputs_is_named(tmp_path):
    last = places(available_topology(), Layout(2, 1))[1].cores
    model = sleepy(tmp_path, "m", good_calls=0, then="refuse", bad_cores=list(last))
    with pytest.raises(DataError, match=r"cannot run 'm' \(instance 2 of 2\): input 'x' has"):
        measure_single(model, BATCH, ONE, seconds=1, instances=2, limits=LIMITS)
    assert workers() == []


def test_more_instances_than_cores_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(UsageError, match="4096 instances of 1 cores asked for"):
        measure_single(sleepy(tmp_path), BATCH, ONE, seconds=1, instances=4096)
