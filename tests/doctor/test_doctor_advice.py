from dataclasses import replace

import pytest
from doctor_machines import HYBRID, TWO_CORES, TWO_SOCKETS

from octavo.doctor.advice import benchmark_warnings
from octavo.doctor.conditions import Conditions
from octavo.doctor.cores import describe_cores
from octavo.doctor.frameworks import BackendStatus

ONE_THREAD_EACH = TWO_SOCKETS.restricted(range(8))


def warnings_of(ours=TWO_CORES, limit=None, backends=(), **conditions):
    ours = replace(ours, quota=limit)
    cores = describe_cores(ours, ours)
    return benchmark_warnings(cores, ours, Conditions(**conditions), backends)


def starts(threads):
    return BackendStatus("onnxruntime", True, {}, (), (), "", threads, 1)


def test_a_quiet_machine_gives_no_warning():
    quiet = {"governor": "performance", "steal": 0.001, "turbo": False}
    assert warnings_of(**quiet, megahertz=(3500.0, 3500.0)) == ()
    assert warnings_of() == ()


def test_a_container_limit_that_leaves_all_cpus_gives_no_warning():
    assert warnings_of(limit=2.0) == ()


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (
            {"ours": TWO_SOCKETS.restricted({0, 8, 1})},
            ["3 CPUs are threads of 2 cores (SMT)", "no more threads than 2"],
        ),
        (
            {"ours": HYBRID.restricted({0, 2, 4, 5, 6})},
            ["3 of 5 cores are of a slower kind", "taskset -c 0,2"],
        ),
        ({"limit": 1.5}, ["sees 2 CPUs and gets the time of 1.5", "no more threads than 1"]),
        ({"governor": "powersave"}, ["powersave", "cpupower frequency-set -g performance"]),
        ({"megahertz": (2000.0, 3500.0)}, ["2000 MHz", "cpupower frequency-set -u 3500MHz"]),
        ({"turbo": True}, ["turbo is on", "intel_pstate/no_turbo", "cpufreq/boost"]),
        ({"throttled": 12}, ["slowed down for heat or power", "12 events", "cooling"]),
        ({"load": 7.25}, ["the load average is 7.2 on 2 CPUs", "end other work"]),
        ({"steal": 0.05}, ["hypervisor has taken 5%", "one of your own"]),
        ({"ours": ONE_THREAD_EACH}, ["2 memory nodes", "apt-get install numactl"]),
        ({"backends": [starts(64)]}, ["onnxruntime starts 64 threads", "2 run at full speed"]),
    ],
)
def test_what_ruins_a_benchmark_is_warned_of_with_what_to_do(given, parts):
    (warning,) = warnings_of(**given)
    assert all(part in warning for part in parts)


@pytest.mark.parametrize("control", ["numactl", "libnuma"])
def test_memory_nodes_that_can_be_bound_to_give_no_warning(control):
    assert warnings_of(ours=ONE_THREAD_EACH, memory_control=control) == ()


def test_a_framework_that_starts_a_thread_for_each_core_gives_no_warning():
    assert warnings_of(backends=[starts(2), starts(None)]) == ()


def test_cores_of_one_kind_give_no_warning_whichever_it_is():
    assert warnings_of(ours=HYBRID.restricted({0, 2})) == ()
    assert warnings_of(ours=HYBRID.restricted({4, 5})) == ()


def test_siblings_that_are_not_ours_are_no_reason_to_warn():
    ours = TWO_SOCKETS.restricted({0, 1})
    assert benchmark_warnings(describe_cores(TWO_SOCKETS, ours), ours, Conditions()) == ()
