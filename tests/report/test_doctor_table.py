from rich.console import Console

from octavo.report.doctor import doctor_table

CORES = {
    "sockets": 1,
    "numa_nodes": 1,
    "nodes": [{"node": 0, "sockets": [0], "cores": 2, "cpus": [0, 1]}],
    "physical": 2,
    "efficiency": 0,
    "logical": 2,
    "offline": [],
    "available": [0, 1],
    "available_cores": 2,
    "cpuset": [0, 1],
    "cpu_limit": None,
    "threads": 2,
}
SERVER = {
    **CORES,
    "sockets": 2,
    "numa_nodes": 2,
    "nodes": [
        {"node": 0, "sockets": [0], "cores": 2, "cpus": [0, 1, 4, 5]},
        {"node": 1, "sockets": [1], "cores": 2, "cpus": [2, 3, 6]},
    ],
    "physical": 4,
    "logical": 7,
    "offline": [7],
    "available_cores": 1,
    "cpuset": [1, 5],
    "cpu_limit": 1.5,
    "threads": 1,
}
UNTOLD = {
    **{"load": 0.25, "steal": None, "governor": None, "megahertz": None, "turbo": None},
    **{"throttled": 0, "memory_control": None},
}
THERE = {
    "name": "fast",
    "installed": True,
    "versions": {"fast": "1.2"},
    "missing": [],
    "install": [],
    "int8": "U8 x S8",
    "default_threads": 2,
    "benchmark_threads": 1,
}
GONE = {
    **THERE,
    "name": "gone",
    "installed": False,
    "versions": {},
    "missing": ["gone"],
    "install": ["pip install a", "pip install gone"],
    "default_threads": None,
    "benchmark_threads": None,
}


def rows(**changes):
    """Return the rows that are printed, by their first column; one more for the warnings."""
    result = {
        "processor": {
            "model": "Chip",
            "architecture": "x86_64",
            "instructions": {"AVX2": True, "VNNI": False, "AMX": False},
            "int8": "U8 x S8",
        },
        "cores": CORES,
        "conditions": UNTOLD,
        "memory_mb": {"total": 25300.0, "available": 24000.0, "limit": None},
        "python": "3.11",
        "system": "Linux 6",
        "backends": [THERE],
        "warnings": [],
    } | changes
    console = Console(width=300, highlight=False)
    with console.capture() as capture:
        console.print(doctor_table(result))
    lines = (line.split(maxsplit=1) for line in capture.get().splitlines())
    return {name: text.strip() for name, text in lines}


def test_what_the_processor_lacks_is_told_too():
    assert rows()["instructions"] == "AVX2 (not VNNI, AMX)"
    bare = {"model": "m", "architecture": "a", "instructions": {"AVX2": False}, "int8": "x"}
    assert rows(processor=bare)["instructions"] == "none that matter here (not AVX2)"


def test_a_small_machine_is_told_in_few_words():
    found = rows()
    assert found["topology"] == "1 socket, 1 memory node, 2 cores, 2 hardware threads"
    assert found["cores"] == "2 of 2, 2 threads"
    assert found["container"] == "no limits"
    assert found["conditions"] == "load 0.2, frequency not told"
    assert found["threads"] == "fast 2 by default, 1 per instance in a benchmark"
    assert found["fast"] == "fast 1.2: U8 x S8"
    assert "warning" not in found


def test_a_server_in_a_container_is_told_in_full():
    memory = {"total": 2e6, "available": 1e6, "limit": 4000.0}
    found = rows(cores=SERVER, memory_mb=memory)
    assert found["topology"] == (
        "2 sockets, 2 memory nodes (0: 0-1,4-5; 1: 2-3,6), 4 cores, 7 hardware threads, "
        "CPUs 7 offline"
    )
    assert found["cores"] == "1 of 4, 1 thread"
    assert found["container"] == "CPUs 1,5, the time of 1.5 CPUs, 4.0 GB"


def test_conditions_that_the_kernel_tells_are_shown():
    told = {"steal": 0.012, "governor": "performance", "megahertz": [2000.0, 3500.0]}
    assert rows(conditions={**UNTOLD, **told, "turbo": True})["conditions"] == (
        "load 0.2, 1.2% of the time stolen, governor performance, up to 2000 of 3500 MHz, turbo on"
    )


def test_a_missing_framework_is_shown_with_the_lines_that_install_it():
    found = rows(backends=[GONE])
    assert found["gone"] == "missing gone; run: pip install a && pip install gone"
    assert "threads" not in found


def test_slower_cores_are_told():
    found = rows(cores={**CORES, "efficiency": 1})
    assert "2 cores (1 of a slower kind)" in found["topology"]


def test_warnings_are_rows():
    assert rows(warnings=["mind the gap"])["warning"] == "mind the gap"
