import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from sleepy_backend import BATCH, sleepy

import octavo
from octavo.bench.places import Place
from octavo.bench.process import Limits, Worker, receive_all
from octavo.bench.side import write_batch
from octavo.errors import ArtifactError, DataError, ModelError, OctavoError, UsageError

LIMITS = Limits(start=60, answer=20)
CORE = max(os.sched_getaffinity(0))


def memory_node_here():
    """Return node 0 where a process of this machine can be bound to it."""
    code = "from octavo.bench.numa import *; print(bind_memory(0), memory_node())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return 0 if done.stdout == "True 0\n" else None


def wait_for_status(pid, status):
    deadline = time.monotonic() + 10
    while psutil.Process(pid).status() != status:
        assert time.monotonic() < deadline, f"process {pid} is not {status}"


@pytest.fixture
def start(tmp_path):
    """Start a worker for a model that behaves as told."""
    write_batch(tmp_path / "inputs.npz", BATCH)

    def start(cores=(CORE,), limits=LIMITS, node=None, number="", **behaviour):
        model = sleepy(tmp_path / "model", **behaviour)
        place = Place(tuple(cores), node)
        return Worker(model, tmp_path / "inputs.npz", place, limits, tmp_path / "log", number)

    return start


def test_it_is_pinned_and_told_its_threads_before_the_framework_is_loaded(start, tmp_path):
    with start(facts=str(tmp_path / "facts")) as worker:
        answer = worker.receive(60)
        allowed = set(psutil.Process(worker.pid).cpu_affinity())
    facts = json.loads((tmp_path / "facts").read_text())
    assert answer["cores"] == facts["cores"] == [CORE]
    assert allowed == {CORE}
    assert facts["threads"] == "1"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_two_cores_are_two_threads(start, tmp_path):
    cores = sorted(os.sched_getaffinity(0))[:2]
    with start(cores=cores, facts=str(tmp_path / "facts")) as worker:
        assert worker.receive(60)["cores"] == cores
    assert json.loads((tmp_path / "facts").read_text())["threads"] == "2"


def test_numpy_loaded_too_early_makes_it_start_anew_pinned(start, tmp_path, monkeypatch):
    # Imported by the interpreter itself at its start, before any line of the worker runs.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, numpy\n"
        f"with open({str(tmp_path / 'starts')!r}, 'a') as log:\n"
        "    print(sorted(os.sched_getaffinity(0)), os.environ.get('OMP_NUM_THREADS'), file=log)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    everywhere = sorted(os.sched_getaffinity(0))
    with start() as worker:
        assert worker.receive(60)["cores"] == [CORE]
    starts = (tmp_path / "starts").read_text().splitlines()
    assert starts == [f"{everywhere} None", f"[{CORE}] 1"]


def test_a_block_has_the_latency_of_every_call_in_nanoseconds(start):
    with start(sleep=0.01) as worker:
        worker.receive(60)
        answer = worker.ask("run", iterations=5)
    assert len(answer["latencies"]) == 5
    assert min(answer["latencies"]) >= 10_000_000


def test_a_lead_in_is_run_and_not_counted(start):
    with start(sleep=0.001, good_calls=12, then="refuse") as worker:
        worker.receive(60)
        assert len(worker.ask("run", iterations=3, lead_in=0.0005)["latencies"]) == 3
        assert len(worker.ask("run", iterations=8)["latencies"]) == 8
        with pytest.raises(DataError):
            worker.ask("run", iterations=1)


def test_it_reports_its_memory_and_processor_time(start):
    with start() as worker:
        worker.receive(60)
        usage = worker.ask("usage")
        assert usage["peak_bytes"] >= psutil.Process(worker.pid).memory_info().rss * 0.9
    assert 0 < usage["cpu_seconds"] < 60


def test_what_the_framework_prints_does_not_reach_the_answers(start, tmp_path):
    with start(noise='{"cores": "fake"}') as worker:
        assert worker.receive(60)["cores"] == [CORE]
    assert (tmp_path / "log").read_text() == '{"cores": "fake"}\n{"cores": "fake"}'


def test_arrays_arrive_by_name_whatever_the_name(tmp_path):
    batch = {"file": np.arange(3), "a/b:0": np.ones((2, 2), np.float16), "s": np.array(["é"])}
    write_batch(tmp_path / "batch.npz", batch)
    with np.load(tmp_path / "batch.npz", allow_pickle=False) as found:
        assert set(found.files) == set(batch)
        for name, array in batch.items():
            np.testing.assert_array_equal(found[name], array)


def test_python_objects_are_refused_as_inputs(tmp_path):
    with pytest.raises(DataError, match="input 'x' holds Python objects"):
        write_batch(tmp_path / "batch.npz", {"x": np.array([None])})


def test_inputs_that_cannot_be_written_are_reported_with_what_to_do(tmp_path):
    with pytest.raises(ArtifactError, match=r"No such file or directory; set TMPDIR"):
        write_batch(tmp_path / "absent" / "batch.npz", BATCH)


def test_an_error_of_ours_comes_back_as_its_own_kind(start):
    with (
        start(broken="no file 'a.onnx'") as worker,
        pytest.raises(ModelError, match=r"^cannot run 'sleepy': no file 'a.onnx'$"),
    ):
        worker.receive(60)


def test_an_error_of_a_framework_comes_back_as_one_line(start):
    with start(good_calls=0, then="raise") as worker:
        worker.receive(60)
        with pytest.raises(OctavoError, match=r"^cannot run 'sleepy': ValueError: kernel failed$"):
            worker.ask("run", iterations=1)


def test_trust_is_passed_on_only_when_given(tmp_path, start):
    with start(asks_trust=True) as worker, pytest.raises(ModelError, match="no trust"):
        worker.receive(60)
    with start(asks_trust=True, trust=True) as worker:
        assert worker.receive(60)["cores"] == [CORE]


def test_cores_that_do_not_exist_are_refused(start):
    with start(cores=(4095,)) as worker, pytest.raises(UsageError, match=r"cores \[4095\]"):
        worker.receive(60)


def test_a_worker_that_was_killed_is_reported(start):
    with start(good_calls=1, then="die") as worker:
        worker.receive(60)
        with pytest.raises(OctavoError, match="'sleepy' was killed by SIGKILL, perhaps for want"):
            worker.ask("run", iterations=3)
        with pytest.raises(OctavoError, match="was killed by SIGKILL"):
            worker.ask("run", iterations=3)


def test_a_worker_that_ended_is_reported_with_its_last_words(start):
    with start(good_calls=1, then="exit") as worker:
        worker.receive(60)
        with pytest.raises(OctavoError, match="ended with status 7; its last words: out of luck"):
            worker.ask("run", iterations=3)


def test_a_worker_that_hangs_is_reported_and_ended(start):
    with pytest.raises(OctavoError, match=r"no answer within 0\.3 seconds"):  # noqa: SIM117
        with start(limits=Limits(start=60, answer=0.3), good_calls=1, then="hang") as worker:
            process = psutil.Process(worker.pid)
            worker.receive(60)
            worker.ask("run", iterations=3)
    assert not process.is_running()


def test_an_instance_is_named_in_errors(start):
    with start(number="2 of 3", good_calls=1, then="die") as worker:
        worker.receive(60)
        with pytest.raises(OctavoError, match=r"runs 'sleepy' \(instance 2 of 3\) was killed"):
            worker.ask("run", iterations=3)


def test_the_first_worker_to_fail_ends_the_waiting_for_all(start, tmp_path):
    with start(sleep=30) as slow, start(good_calls=0, then="exit") as failing:
        receive_all([slow, failing], 60)
        began = time.monotonic()
        for worker in (slow, failing):
            worker.send("run", iterations=1)
        with pytest.raises(OctavoError, match="ended with status 7"):
            receive_all([slow, failing], 60)
        assert time.monotonic() - began < 20
        slow.kill()


def test_a_block_begins_at_its_moment(start):
    with start() as worker:
        worker.receive(60)
        begin = time.perf_counter_ns() + 300_000_000
        answer = worker.ask("run", iterations=1, begin=begin)
    assert 0 <= answer["started"] - begin < 250_000_000


def test_a_moment_that_has_passed_is_not_waited_for(start):
    with start() as worker:
        worker.receive(60)
        assert len(worker.ask("run", iterations=1, begin=1)["latencies"]) == 1


@pytest.mark.skipif(memory_node_here() is None, reason="needs libnuma and a kernel that binds")
def test_its_memory_is_bound_to_its_node(start):
    with start(node=0) as worker:
        assert worker.receive(60)["node"] == 0
        maps = Path(f"/proc/{worker.pid}/numa_maps").read_text()
    assert "bind:0" in maps


def test_memory_is_bound_to_no_node_unless_asked(start):
    with start() as worker:
        assert worker.receive(60)["node"] is None


def test_a_paused_worker_stands_still_and_goes_on_when_resumed(start):
    with start() as worker:
        worker.receive(60)
        worker.pause()
        wait_for_status(worker.pid, psutil.STATUS_STOPPED)
        worker.send("run", iterations=1)
        with pytest.raises(OctavoError, match="no answer"):
            worker.receive(0.2)
        worker.resume()
        assert len(worker.receive(20)["latencies"]) == 1


def test_leaving_ends_a_paused_worker(start):
    with start() as worker:
        worker.receive(60)
        process = psutil.Process(worker.pid)
        worker.pause()
    assert not process.is_running()


def test_a_worker_that_cannot_be_started_is_reported(tmp_path):
    model = replace(sleepy(tmp_path / "model"), program=(str(tmp_path / "none"),))
    with pytest.raises(
        OctavoError, match=r"cannot start the worker .* \(instance 1 of 2\): No such"
    ):
        Worker(model, tmp_path / "i.npz", Place((CORE,)), LIMITS, tmp_path / "log", "1 of 2")


def test_a_backend_the_worker_does_not_know_is_reported(tmp_path):
    model = replace(sleepy(tmp_path / "model"), imports=())
    write_batch(tmp_path / "inputs.npz", BATCH)
    log = tmp_path / "log"
    with (
        Worker(model, tmp_path / "inputs.npz", Place((CORE,)), LIMITS, log) as worker,
        pytest.raises(UsageError, match="no backend 'sleepy'"),
    ):
        worker.receive(60)


PROGRAM = """
import os
from types import SimpleNamespace

from octavo.bench import worker

places = os.environ["PYTHONPATH"].split(os.pathsep)
answer = SimpleNamespace(run=lambda batch: None)
raise SystemExit(worker.main(lambda arguments: (answer, print(places, arguments.folder))))
"""


def test_a_program_of_another_environment_takes_the_place_of_the_interpreter(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    program = (sys.executable, "-P", str(tmp_path / "program.py"))
    model = replace(sleepy(tmp_path / "model"), program=program)
    with Worker(model, tmp_path / "inputs.npz", Place((CORE,)), LIMITS, tmp_path / "log") as worker:
        assert worker.receive(60)["cores"] == [CORE]
        assert len(worker.ask("run", iterations=3)["latencies"]) == 3
    root = Path(octavo.__file__).parents[1]  # the modules of this environment would shadow its own
    assert (tmp_path / "log").read_text() == f"{[str(root)]} {tmp_path / 'model'}\n"


def test_the_peak_of_memory_is_that_of_the_program_itself():
    """Memory that was held before exec is not ours; `getrusage` counts it."""
    second = "from octavo.bench.worker import peak_bytes; print(peak_bytes())"
    first = (
        "import os, sys; block = bytearray(300 << 20); block[::4096] = b'x' * len(block[::4096]); "
        f"os.execv(sys.executable, [sys.executable, '-c', {second!r}])"
    )
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, check=True)

    assert 5 << 20 < int(done.stdout) < 200 << 20
