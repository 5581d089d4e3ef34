"""`octavo benchmark` with several instances, in sweeps, and when it is stopped."""

import json
import signal
import subprocess
import sys

import psutil
import pytest

from octavo.bench.topology import available_topology
from octavo.errors import ExitCode
from octavo.report.plot import draw_plot

CORES = len(available_topology().cores)
needs_two_cores = pytest.mark.skipif(CORES < 2, reason="needs two physical cores")


@needs_two_cores
def test_two_instances_are_measured_against_a_baseline(octavo, place):
    code, out, err = octavo(
        "benchmark", place / "net.onnx", "--baseline", place / "net.onnx", "--instances", "2",
        "--cores-per-instance", "1", "--seconds", "1", "--json",
    )  # fmt: skip
    report = json.loads(out)
    assert code == 0, err
    assert (report["instances"], report["cores_per_instance"]) == (2, 1)
    baseline, model = report["rows"]
    for row in (baseline, model):
        first, second = row["per_instance"]
        assert len(first["cores"]) == len(second["cores"]) == 1
        assert first["cores"] != second["cores"]
        together = first["throughput"] + second["throughput"]
        assert row["throughput"]["samples_per_s"] == pytest.approx(together, rel=1e-6)
        assert set(row["latency_ms"]) == {"p50", "p90", "p99", "p999"}
        assert row["latencies_ms"] == sorted(row["latencies_ms"])
        assert 1 <= len(row["latencies_ms"]) <= 2000
    assert model["ratios"][0]["ratio"] == report["ratio"]
    assert report["machine"]["versions"]["onnxruntime"]


def test_a_sweep_of_layouts_and_batch_sizes_names_the_best(octavo, place):
    arguments = ("benchmark", place / "net.onnx", "--sweep", "--batch-size", "1,2")
    code, out, err = octavo(*arguments, "--seconds", "0.2", "--p99", "10s", "--json")
    report = json.loads(out)
    assert code == 0, err
    (best,) = report["best"]
    speeds = [row["throughput"]["samples_per_s"] for row in report["rows"]]
    assert best["samples_per_s"] == max(speeds) == report["throughput"]
    assert best["within_limit"] is True
    assert {row["batch_size"] for row in report["rows"]} == {1, 2}
    layouts = {(row["instances"], row["cores_per_instance"]) for row in report["rows"]}
    assert {(CORES, 1), (1, CORES)} <= layouts
    assert len(report["rows"]) == 2 * len(layouts)
    assert f"1 of {len(report['rows'])}, instances" in err


def test_the_table_of_a_sweep(octavo, place):
    code, out, _ = octavo(
        "benchmark", place / "net.onnx", "--batch-size", "1,2", "--seconds", "0.1"
    )
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split()[:3] == ["model", "instances", "batch"]
    assert lines[3].split()[0] == "best"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--instances", "many"), "instances are a number of at least 1, or auto; not 'many'"),
        (("--instances", "4096"), "4096 instances of 1 cores asked for"),
        (("--batch-size", "1,x"), "a batch size is a number of at least 1"),
        (("--p99", "soon"), "a latency is milliseconds"),
        (("--sweep", "--instances", "2"), "a sweep tries all layouts"),
        (("--plot", "figure.png"), "--plot writes SVG; give a file such as figure.svg"),
        (("--plot", "none/figure.svg"), "cannot write 'none/figure.svg'"),
        (("--shape", "picture=1x3x8x8"), "a shape for 'picture', which is no input"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_measured(octavo, place, options, message):
    code, out, err = octavo("benchmark", place / "net.onnx", *options)
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert err.startswith(f"error: {message}")
    assert len(err.splitlines()) == 1


def test_the_plot_is_drawn_from_what_json_prints(octavo, place, tmp_path):
    figure = tmp_path / "figure.svg"
    code, out, err = octavo(
        "benchmark", place / "net.onnx", "--batch-size", "1,2", "--seconds", "0.1",
        "--plot", figure, "--json",
    )  # fmt: skip
    assert code == 0, err
    drawn = figure.read_text()
    assert drawn == draw_plot(json.loads(out))
    assert "<svg" in drawn.splitlines()[1] and "batch 2" in drawn


def test_a_plot_that_cannot_be_written_leaves_the_result(octavo, place, tmp_path):
    figure = tmp_path / "figure.svg"
    figure.symlink_to("/dev/full")
    code, out, err = octavo("benchmark", place / "net.onnx", "--seconds", "0.1", "--plot", figure)
    assert code == ExitCode.BAD_INPUT
    assert "samples/s" in out
    assert f"{str(figure)!r}: No space left on device" in err.splitlines()[-1]


def measuring_workers(process, count):
    """Wait until all workers are there and the measuring has been told."""
    while process.poll() is None:
        workers = psutil.Process(process.pid).children(recursive=True)
        if len(workers) >= count:
            return workers
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_benchmark_leaves_no_process(place, number):
    instances = min(2, CORES)
    command = [sys.executable, "-m", "octavo", "benchmark", "net.onnx", "--baseline", "net.onnx"]
    command += ["--instances", str(instances), "--seconds", "60"]
    with subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        workers = measuring_workers(process, 2 * instances)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert err.splitlines()[-1] == "error: interrupted; nothing half-written was left"
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
