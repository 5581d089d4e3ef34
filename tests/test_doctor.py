import importlib.metadata
import json
import platform
import subprocess
import sys

import pytest

from octavo.backends.registry import Entry
from octavo.bench.topology import Core, Topology
from octavo.doctor import (
    Memory,
    benchmark_warnings,
    describe_backends,
    describe_cores,
    describe_processor,
    diagnose,
    int8_in_words,
    read_governor,
)
from octavo.target import Cpu, parse_cpuinfo

ZEN5 = parse_cpuinfo(
    "model name\t: AMD EPYC\nflags\t\t: avx2 avx512f avx512_vnni avx_vnni avx512_bf16\n",
    "x86_64",
    2,
)
HASWELL = parse_cpuinfo("model name\t: Xeon E5-2680 v3\nflags\t\t: sse4_2 avx2\n", "x86_64", 12)
SAPPHIRE = parse_cpuinfo(
    "model name\t: Xeon 8480+\nflags\t\t: avx2 avx512f avx512_vnni amx_int8 amx_bf16\n",
    "x86_64",
    56,
)
GRAVITON = parse_cpuinfo("CPU part\t: 0xd40\nFeatures\t: asimddp i8mm bf16 sve\n", "aarch64", 64)
OLD = Cpu("Opteron", "x86_64", frozenset({"sse4_2"}), 4)

TWO_SOCKETS = Topology(
    tuple(Core(socket=core // 4, node=core // 4, cpus=(core, core + 8)) for core in range(8))
)
QUIET = {"limit": None, "governor": "performance", "load": 0.0}


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        (ZEN5, "U8 x S8 with full-range weights (VNNI)"),
        (SAPPHIRE, "U8 x S8 with full-range weights (AMX)"),
        (
            HASWELL,
            "U8 x S8 with 7-bit weights "
            "(no VNNI: sums of 8-bit products would saturate at 16 bits)",
        ),
        (GRAVITON, "U8 x S8 with full-range weights (dot product)"),
    ],
)
def test_int8_is_said_in_plain_words(cpu, words):
    assert int8_in_words(cpu) == words


@pytest.mark.parametrize(
    ("cpu", "wanted"),
    [(ZEN5, False), (SAPPHIRE, False), (HASWELL, True), (OLD, True), (GRAVITON, False)],
)
def test_x86_without_vnni_saturates(cpu, wanted):
    assert cpu.saturates == wanted


def test_a_processor_without_avx2_is_called_slow():
    assert "slow: no AVX2 either" in int8_in_words(OLD)


def test_instruction_sets_that_matter_are_named():
    assert describe_processor(ZEN5).instructions == {
        **{"AVX2": True, "AVX512": True, "VNNI": True},
        **{"AMX": False, "BF16": True},
    }
    assert describe_processor(HASWELL).instructions["VNNI"] is False
    assert describe_processor(GRAVITON).instructions == {
        **{"DOTPROD": True, "I8MM": True, "SVE": True, "BF16": True}
    }


def test_two_sockets_with_smt_are_counted():
    cores = describe_cores(TWO_SOCKETS, range(16), **QUIET)
    assert (cores.sockets, cores.numa_nodes, cores.physical, cores.logical) == (2, 2, 8, 16)
    assert (cores.available_cores, cores.threads) == (8, 8)


def test_affinity_and_container_limit_bound_the_threads():
    assert describe_cores(TWO_SOCKETS, {0, 8, 3}, **QUIET).threads == 2
    limited = describe_cores(TWO_SOCKETS, range(16), 2.5, None, 0.0)
    assert (limited.available_cores, limited.cpu_limit, limited.threads) == (8, 2.5, 2)
    assert describe_cores(TWO_SOCKETS, range(16), 0.5, None, 0.0).threads == 1


def warnings_of(topology=Topology((Core(0, 0, (0,)), Core(0, 0, (1,)))), **conditions):  # noqa: B008
    cores = describe_cores(topology, topology.cpus, **{**QUIET, **conditions})
    return benchmark_warnings(cores, topology)


def test_a_quiet_machine_gives_no_warning():
    assert warnings_of(governor=None) == warnings_of() == ()


def test_a_container_limit_that_leaves_all_cpus_gives_no_warning():
    assert warnings_of(limit=2.0) == ()


@pytest.mark.parametrize(
    ("conditions", "parts"),
    [
        (
            {"topology": TWO_SOCKETS},
            ["16 CPUs are threads of 8 cores (SMT)", "no more threads than 8"],
        ),
        ({"governor": "powersave"}, ["powersave", "cpupower frequency-set -g performance"]),
        ({"limit": 1.5}, ["sees 2 CPUs and gets the time of 1.5", "no more threads than 1"]),
        ({"load": 7.25}, ["the load average is 7.2 on 2 CPUs", "end other work"]),
    ],
)
def test_what_ruins_a_benchmark_is_warned_of_with_what_to_do(conditions, parts):
    (warning,) = warnings_of(**conditions)
    assert all(part in warning for part in parts)


def test_siblings_that_are_not_ours_are_no_reason_to_warn():
    ours = TWO_SOCKETS.restricted({0, 1})
    cores = describe_cores(TWO_SOCKETS, {0, 1}, **QUIET)
    assert benchmark_warnings(cores, ours) == ()


def test_the_governors_of_our_cpus_are_read(tmp_path):
    for cpu, governor in enumerate(["powersave", "performance", "powersave"]):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
    assert read_governor([0, 2], tmp_path) == "powersave"
    assert read_governor([0, 1], tmp_path) == "performance, powersave"
    assert read_governor([7], tmp_path) is None


def test_an_installed_backend_has_versions_and_what_it_will_run():
    entry = Entry(name="x", module="x", packages=("numpy", "yaml"), install=("pip install x",))
    (status,) = describe_backends([entry], ZEN5)
    assert status.installed
    assert status.versions == {
        "PyYAML": importlib.metadata.version("pyyaml"),
        "numpy": importlib.metadata.version("numpy"),
    }
    assert (status.missing, status.install) == ((), ())
    assert status.int8 == "U8 x S8 with full-range weights (VNNI)"


def test_a_missing_framework_is_named_with_the_lines_that_install_it():
    lines = ("pip install a", "pip install --no-deps b")
    entry = Entry("x", "x", packages=("numpy", "no_such_framework"), install=lines)
    (status,) = describe_backends([entry], ZEN5)
    assert not status.installed
    assert status.missing == ("no_such_framework",)
    assert status.install == lines
    assert set(status.versions) == {"numpy"}
    assert status.int8 == "nothing until it is installed"


def test_the_backend_for_tests_is_not_shown():
    entries = [Entry("r", "r", hidden=True), Entry("x", "x")]
    assert [status.name for status in describe_backends(entries, ZEN5)] == ["x"]


def test_the_diagnosis_of_this_machine_is_json():
    found = json.loads(json.dumps(diagnose().to_json()))
    assert found["python"] == platform.python_version()
    assert 1 <= found["cores"]["threads"] <= found["cores"]["available_cores"]
    assert 0 < found["memory_mb"]["available"] <= found["memory_mb"]["total"]
    assert "onnxruntime" in [backend["name"] for backend in found["backends"]]


def test_memory_is_told_in_megabytes():
    assert Memory(25_300_000_000, 24_000_000_000, None).to_json() == {
        **{"total": 25300.0, "available": 24000.0, "limit": None}
    }


def test_the_diagnosis_imports_no_framework():
    code = "import sys, octavo.doctor as d; d.diagnose(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"onnx", "onnxruntime", "onnx_ir", "torch"} & set(run.stdout.split())
