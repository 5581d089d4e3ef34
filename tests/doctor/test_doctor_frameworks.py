import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from doctor_machines import TWO_CORES, TWO_SOCKETS, ZEN5

from octavo.backends.registry import ENTRIES, Entry
from octavo.bench.topology import read_topology
from octavo.doctor.frameworks import default_threads, describe_backends

MODEL = Path(__file__).parents[2] / "examples" / "digits" / "scenes.onnx"


def status_of(entry, topology=TWO_CORES):
    (status,) = describe_backends([entry], ZEN5, topology, topology)
    return status


def test_an_installed_backend_has_versions_and_what_it_will_run():
    entry = Entry(name="x", module="x", packages=("numpy", "yaml"), install=("pip install x",))
    status = status_of(entry)
    assert status.installed
    assert status.versions == {
        "PyYAML": importlib.metadata.version("pyyaml"),
        "numpy": importlib.metadata.version("numpy"),
    }
    assert (status.missing, status.install) == ((), ())
    assert status.int8 == "U8 x S8 with full-range weights (VNNI)"
    assert (status.default_threads, status.benchmark_threads) == (None, 1)


def test_a_missing_framework_is_named_with_the_lines_that_install_it():
    lines = ("pip install a", "pip install --no-deps b")
    status = status_of(
        Entry("x", "x", packages=("numpy", "no_such_framework"), install=lines, threads="machine")
    )
    assert not status.installed
    assert status.missing == ("no_such_framework",)
    assert status.install == lines
    assert set(status.versions) == {"numpy"}
    assert status.int8 == "nothing until it is installed"
    assert (status.default_threads, status.benchmark_threads) == (None, None)


def test_the_backend_for_tests_is_not_shown():
    entries = [Entry("r", "r", hidden=True), Entry("x", "x")]
    found = describe_backends(entries, ZEN5, TWO_CORES, TWO_CORES)
    assert [status.name for status in found] == ["x"]


@pytest.mark.parametrize(
    ("where", "allowed", "threads"),
    [
        ("machine", {0, 1}, 8),
        ("process", {0, 8, 1}, 2),
        ("process", {0, 4, 5, 6, 14}, 3),
        ("process", set(range(16)), 4),
        ("", {0, 1}, None),
    ],
)
def test_threads_by_default_are_those_of_the_machine_or_of_our_largest_socket(
    where, allowed, threads
):
    entry = Entry("x", "x", threads=where)
    assert default_threads(entry, TWO_SOCKETS, TWO_SOCKETS.restricted(allowed), {}) == threads


@pytest.mark.parametrize(
    ("environment", "threads"),
    [({"A": "3", "B": "5"}, 3), ({"B": "5"}, 5), ({"A": "0"}, 8), ({"A": "many"}, 8), ({}, 8)],
)
def test_a_variable_of_the_environment_sets_them(environment, threads):
    entry = Entry("x", "x", threads="machine", thread_variables=("A", "B"))
    assert default_threads(entry, TWO_SOCKETS, TWO_SOCKETS, environment) == threads


ONNXRUNTIME = """
import os, onnxruntime
before = len(os.listdir("/proc/self/task"))
session = onnxruntime.InferenceSession({model!r})
print(len(os.listdir("/proc/self/task")) - before + 1)
"""

OPENVINO = """
from octavo.backends.openvino.quiet import import_quietly
import_quietly()
import openvino
compiled = openvino.Core().compile_model({model!r}, "CPU")
print(compiled.get_property("INFERENCE_NUM_THREADS"))
"""


def threads_in(script, cpus, **environment):
    """Return what a script prints that may use some CPUs only."""
    pinned = f"import os; os.sched_setaffinity(0, {set(cpus)!r})"
    code = pinned + script.format(model=str(MODEL))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONPATH": ":".join(sys.path)},
    )
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize(("name", "script"), [("onnxruntime", ONNXRUNTIME), ("openvino", OPENVINO)])
def test_frameworks_start_as_many_threads_as_we_say(name, script):
    if ENTRIES[name].missing:
        pytest.skip(f"{name} is not installed")
    machine = read_topology()
    first = machine.cores[0].cpus[:1]
    for cpus in (machine.cpus, first):
        expected = default_threads(ENTRIES[name], machine, machine.restricted(cpus), {})
        assert threads_in(script, cpus) == expected


def test_onnxruntime_obeys_its_variable():
    if ENTRIES["onnxruntime"].missing:
        pytest.skip("onnxruntime is not installed")
    machine = read_topology()
    (name,) = ENTRIES["onnxruntime"].thread_variables
    assert threads_in(ONNXRUNTIME, machine.cpus, **{name: "3"}) == 3
    assert default_threads(ENTRIES["onnxruntime"], machine, machine, {name: "3"}) == 3
