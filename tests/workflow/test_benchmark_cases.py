"""Several cases of one benchmark: what is measured, what is kept of it, and which is the best."""

import json

import numpy as np
import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.bench import Measurement, PairResult, SingleResult
from octavo.bench.cores import Core, Topology
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.errors import OctavoError, UsageError
from octavo.model import TensorSpec
from octavo.testing.networks import convnet
from octavo.workflow import benchmark, contestants
from octavo.workflow.benchmark import BenchmarkOptions, _sizes, run_benchmark
from octavo.workflow.cases import make_grid
from octavo.workflow.contestants import Sources
from octavo.workflow.opened import Opened

QUIET = Noise(0.0, 0.0, 0.0, None)
FOUR = Topology(tuple(Core(0, 0, (cpu,)) for cpu in range(4)))


def speed(label, instances, cores, size):
    """More instances are faster together, and slower each."""
    latency = 10.0 * size * instances / cores
    return Measurement(
        label, 100.0 * instances * size, Latency(latency, latency, latency, latency), 1, 1.0, (0,),
        latencies_ms=(latency,),
    )  # fmt: skip


@pytest.fixture
def run(monkeypatch, reporter):
    """Benchmark a small network on a machine of four cores, without timing."""
    asked = []

    def single(model, batch, target, *, seconds, instances, seed):
        size = len(batch["image"])
        asked.append((instances, target.threads, size))
        if run.failing(instances, target.threads, size):
            raise OctavoError("the worker died")
        found = speed(model.label, instances, target.threads, size)
        return SingleResult(found, (1, 2), 4, 1.0, size, target.threads, QUIET, instances)

    def pair(baseline, candidate, batch, target, *, seconds, instances, seed):
        size = len(batch["image"])
        sides = (speed(one.label, instances, target.threads, size) for one in (baseline, candidate))
        return PairResult(*sides, 2.0, (1.9, 2.1), 4, 1.0, size, target.threads, QUIET, instances)

    def opened(source, **options):
        backend = ReferenceBackend()
        return Opened(source, backend, backend.load(convnet()), None)

    monkeypatch.setattr(benchmark, "measure_single", single)
    monkeypatch.setattr(benchmark, "measure_pair", pair)
    monkeypatch.setattr(benchmark, "available_topology", lambda: FOUR)
    monkeypatch.setattr(contestants, "open_any", opened)

    def run(baseline=None, p99_ms=None, data=None, **grid):
        options = BenchmarkOptions(grid=make_grid(**grid), p99_ms=p99_ms, data=data)
        return run_benchmark(Sources("a.npz", baseline), options, reporter)

    run.asked, run.failing, run.reporter = asked, lambda *case: False, reporter
    return run


def test_one_case_has_the_keys_of_one_measurement(run):
    report = json.loads(json.dumps(run().to_json(), allow_nan=False))
    assert run.asked == [(1, 1, 1)]
    assert report["model"]["label"] == "a.npz"
    assert (report["instances"], report["batch_size"], report["throughput"]) == (1, 1, 100.0)
    assert "best" not in report and "failures" not in report
    (row,) = report["rows"]
    assert (row["role"], row["ratios"]) == ("model", [])
    assert row["throughput"] == {"samples_per_s": 100.0, "interval": None}
    assert row["latencies_ms"] == [10.0]
    assert row["shapes"]["image"][0] == 1
    assert report["machine"]["cores"] == 4


def test_a_sweep_measures_every_layout_with_every_batch_size(run):
    found = run(sweep=True, batch_size="1,8")
    layouts = [(4, 1), (2, 2), (1, 4)]
    assert run.asked == [(*layout, size) for size in (1, 8) for layout in layouts]
    rows = found.to_json()["rows"]
    assert [(row["instances"], row["cores_per_instance"], row["batch_size"]) for row in rows] == (
        run.asked
    )


def test_as_many_instances_as_fit(run):
    run(instances="auto", threads=2)
    assert run.asked == [(2, 2, 1)]


def test_the_best_case_has_the_highest_throughput(run):
    report = run(sweep=True).to_json()
    (best,) = report["best"]
    assert (best["instances"], best["cores_per_instance"], best["within_limit"]) == (4, 1, True)
    assert (report["instances"], report["throughput"]) == (4, 400.0)


def test_the_best_case_keeps_the_latency_limit(run):
    report = run(sweep=True, p99_ms=20.0).to_json()
    (best,) = report["best"]
    assert (best["instances"], best["p99_ms"], best["within_limit"]) == (2, 10.0, True)
    assert report["p99_limit_ms"] == 20.0
    assert report["instances"] == 2


def test_where_nothing_keeps_the_limit_the_shortest_latency_is_told(run):
    report = run(sweep=True, p99_ms=1.0).to_json()
    (best,) = report["best"]
    assert (best["instances"], best["within_limit"]) == (1, False)
    assert any("the shortest p99 is 2.500 ms" in text for text in run.reporter.warned)


def test_a_case_that_fails_does_not_take_the_others_along(run):
    run.failing = lambda instances, cores, size: instances == 4
    report = run(sweep=True).to_json()
    assert [row["instances"] for row in report["rows"]] == [2, 1]
    (failure,) = report["failures"]
    assert (failure["instances"], failure["error"]) == (4, "the worker died")
    assert any("4 x 1" in text and "worker died" in text for text in run.reporter.warned)


@pytest.mark.parametrize("grid", [{}, {"sweep": True}])
def test_where_every_case_fails_the_first_error_is_the_result(run, grid):
    run.failing = lambda *case: True
    with pytest.raises(OctavoError, match=r"^the worker died$"):
        run(**grid)


def test_a_pair_has_a_row_for_each_model_and_its_ratio(run):
    report = run("b.npz", instances=2).to_json()
    baseline, model = report["rows"]
    assert (baseline["role"], baseline["model"]) == ("baseline", "b.npz")
    assert (model["role"], model["model"]) == ("model", "a.npz")
    assert model["ratios"] == [
        {"baseline": "b.npz", "ratio": 2.0, "ratio_ci95": [1.9, 2.1], "noise": []}
    ]
    assert (report["ratio"], report["instances"]) == (2.0, 2)


def test_data_that_can_be_read_once_serve_all_batch_sizes(run):
    spec = ReferenceBackend().load(convnet()).inputs[0]
    shape = (2, *spec.concrete()[1:])
    run(batch_size=[1, 4], data=iter([np.zeros(shape, np.float32), np.ones(shape, np.float32)]))
    assert [size for _, _, size in run.asked] == [1, 4]


def test_mistakes_are_found_before_anything_is_measured(run):
    with pytest.raises(UsageError, match="asked for"):
        run(instances=5)
    with pytest.raises(UsageError, match="no input"):
        run(shapes={"y": (1, 2)})
    assert run.asked == []


def test_a_fixed_batch_is_the_only_one(reporter):
    fixed, free = TensorSpec("x", "float32", (4, 2)), TensorSpec("x", "float32", ("N", 2))
    assert _sizes([free], make_grid(batch_size="1,8"), reporter) == (1, 8)
    assert _sizes([fixed], make_grid(batch_size="2"), reporter) == (4,)
    assert reporter.warned == []
    assert _sizes([fixed], make_grid(batch_size="1,8"), reporter) == (4,)
    assert reporter.warned == ["the model takes 4 samples a call: other batch sizes are left out"]
