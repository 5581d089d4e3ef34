from dataclasses import replace

import pytest
from rich.console import Console

from octavo.bench import Measurement, PairResult, SingleResult
from octavo.bench.noise import Noise
from octavo.bench.places import Layout
from octavo.bench.results import Instance
from octavo.bench.stats import Latency
from octavo.report.benchmark import benchmark_table
from octavo.workflow.benchmarked import Benchmark, Failure, Measured
from octavo.workflow.cases import Case

REASON = "other processes used 40% of the time of our cores"
LATENCY = Latency(1, 2, 3, 4)


def speed(throughput=100.0, instances=1, label="net.onnx", latency=LATENCY):
    each = [
        Instance((core,), None, throughput / instances + core, latency, 1, 1.0)
        for core in range(instances)
    ]
    return Measurement(label, throughput, latency, 1, 1.0, (0,), (90, 110), tuple(each))


def noise(noisy):
    return Noise(0.0, 0.4, 0.0, None, (REASON,) if noisy else ())


def pair(noisy=False, label="net.onnx", ratio=1.25):
    baseline = speed(label=label)
    return PairResult(baseline, speed(), ratio, (0.7, 1.63), 4, 1.0, 1, 1, noise(noisy))


def single(instances=1, cores=1, throughput=100.0, size=1, noisy=False, latency=LATENCY):
    found = speed(throughput, instances, latency=latency)
    return SingleResult(found, (90, 110), 4, 1.0, size, cores, noise(noisy), instances)


def case(measured, others=None, length=8):
    layout = Layout(measured.instances, measured.cores_per_instance)
    shapes = {"ids": (measured.batch_size, length)}
    return Measured(Case(layout, measured.batch_size, shapes), shapes, measured, others or {})


def lines(*cases, **more):
    console = Console(width=250)
    with console.capture() as captured:
        console.print(benchmark_table(Benchmark(cases, **more).to_json()))
    return [line.strip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("noisy", [True, False])
def test_it_says_what_disturbed_a_pair(noisy):
    shown = lines(case(pair(noisy)))
    assert shown[2].endswith("1.25x (0.70 to 1.63) (noisy)") is noisy
    assert shown[2].endswith("1.25x (0.70 to 1.63)") is not noisy
    assert any(line.startswith("warning") and REASON in line for line in shown) is noisy


@pytest.mark.parametrize("noisy", [True, False])
def test_it_says_what_disturbed_one_model(noisy):
    shown = lines(case(single(noisy=noisy)))
    assert ("(noisy)" in shown[1]) is noisy
    assert any(REASON in line for line in shown) is noisy


def test_one_instance_has_its_speed_and_four_percentiles():
    shown = lines(case(single()))
    assert shown[0].split("  ")[0] == "model"
    assert "p99.9 ms" in shown[0]
    assert shown[1].split() == ["net.onnx", "100.0", "1.000", "2.000", "3.000", "4.000"]
    assert len(shown) == 2


def test_it_shows_every_form_of_the_baseline_and_the_ratio_over_each():
    shorter = pair(label="net.onnx (BF16)")
    shown = lines(case(shorter, {"f32": pair(True, "net.onnx (FP32)", 2.5)}))
    assert [line.split("  ")[0] for line in shown[1:4]] == [
        "net.onnx (BF16)", "net.onnx (FP32)", "net.onnx",
    ]  # fmt: skip
    assert shown[3].endswith("1.25x (0.70 to 1.63) over net.onnx (BF16)")
    assert shown[4] == "2.50x (0.70 to 1.63) over net.onnx (FP32) (noisy)"
    assert shown[5].endswith(f"against net.onnx (FP32): {REASON}")


def test_every_instance_has_a_row_with_its_cores():
    shown = lines(case(single(instances=2)))
    assert shown[1].split()[:5] == ["net.onnx", "2", "x", "1", "100.0"]
    assert shown[2].split()[:5] == ["instance", "1", "cores", "0", "50.0"]
    assert shown[3].split()[:5] == ["instance", "2", "cores", "1", "51.0"]


def test_of_many_instances_the_slowest_and_the_fastest_are_shown():
    shown = lines(case(single(instances=20)))
    assert [line.split()[0] for line in shown[2:]] == ["slowest", "fastest"]
    assert [line.split()[4] for line in shown[2:]] == ["5.0", "24.0"]


def test_cases_are_told_apart_and_the_best_is_named():
    slow, fast = case(single(2, 1, 80.0)), case(single(1, 2, 90.0, size=8), length=16)
    shown = lines(slow, fast, p99_ms=20.0)
    assert shown[0].split()[:4] == ["model", "instances", "batch", "ids"]
    assert shown[1].split()[:6] == ["net.onnx", "2", "x", "1", "1", "1x8"]
    assert shown[2].split()[:6] == ["net.onnx", "1", "x", "2", "8", "8x16"]
    assert shown[3].endswith(
        "instances 2 x 1, batch 1, ids 1x8: 80.0 samples/s, p99 3.000 ms, within 20 ms"
    )
    assert shown[4].startswith("best")


def test_a_best_case_that_breaks_the_limit_says_so():
    found = single(latency=replace(LATENCY, p99=30.0))
    assert lines(case(found), p99_ms=20.0)[-1].endswith("p99 30.000 ms, over 20 ms")


def test_a_case_that_failed_is_in_the_table():
    failed = Failure(Case(Layout(2, 1), 8, {}), "the worker died")
    assert lines(case(single()), failures=(failed,))[-1].endswith(
        "instances 2 x 1, batch 8: the worker died"
    )


def test_of_many_cases_those_that_were_disturbed_are_marked_and_counted():
    shown = lines(case(single(2, 1, noisy=True)), case(single(1, 2)), case(pair(True)))
    assert [line.endswith("(noisy)") for line in shown[1:5]] == [True, False, False, True]
    assert shown[-1].endswith("2 of 3 cases were disturbed; --json tells by what")
