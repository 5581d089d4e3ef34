"""What a source is measured against is what `quantize` measures against."""

from dataclasses import replace

import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.bench import Measurement, PairResult, SingleResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.testing.networks import convnet
from octavo.workflow import benchmark, contestants
from octavo.workflow.benchmark import BenchmarkOptions, run_benchmark
from octavo.workflow.contestants import Sources
from octavo.workflow.measure import float_forms
from octavo.workflow.opened import Opened

SHORTER = "BF16, the default"
QUIET = Noise(0.0, 0.0, 0.0, None)


class TwoForms(ReferenceBackend):
    """Runs a shorter float where nobody asks for more, as OpenVINO does."""

    def baselines(self, model, target):
        return {"default": replace(model, label=SHORTER), "f32": model}


def speed(reference):
    return Measurement(reference.label, 10.0, Latency(1, 1, 1), 1, 1.0, (0,))


@pytest.fixture
def measured(monkeypatch, reporter):
    """Measure a source, alone or against one, without timing; return what was asked for."""
    asked = []

    def pair(baseline, candidate, *rest, **options):
        asked.append((baseline.label, candidate.label))
        return PairResult(speed(baseline), speed(candidate), 2.0, (1.9, 2.1), 4, 1.0, 1, 1, QUIET)

    def single(reference, *rest, **options):
        return SingleResult(speed(reference), (9, 11), 4, 1.0, 1, 1, QUIET)

    monkeypatch.setattr(benchmark, "measure_pair", pair)
    monkeypatch.setattr(benchmark, "measure_single", single)

    def run(backend, baseline):
        def opened(source, **options):
            return Opened(source, backend, backend.load(convnet()), None)

        monkeypatch.setattr(contestants, "open_any", opened)
        sources = Sources("a.npz", baseline)
        return run_benchmark(sources, BenchmarkOptions(), reporter), asked

    return run


def test_a_source_is_measured_against_in_every_form(measured):
    found, asked = measured(TwoForms(), "b.npz")
    assert asked == [(f"b.npz ({SHORTER})", "a.npz (FP32)"), ("b.npz (FP32)", "a.npz (FP32)")]
    report = found.to_json()
    assert report["baseline"]["label"] == f"b.npz ({SHORTER})"
    assert report["baselines"]["f32"]["baseline"]["label"] == "b.npz (FP32)"
    assert report["baselines"]["f32"]["ratio"] == 2.0


def test_a_source_of_one_form_is_measured_once_and_called_by_its_name(measured):
    found, asked = measured(ReferenceBackend(), "b.npz")
    assert asked == [("b.npz", "a.npz")]
    assert "baselines" not in found.to_json()


def test_a_source_alone_says_what_it_runs_in(measured):
    assert measured(TwoForms(), None)[0].measured.model.label == "a.npz (FP32)"
    assert measured(ReferenceBackend(), None)[0].measured.model.label == "a.npz"


def test_quantize_measures_against_the_same_forms(setting):
    forms = float_forms(TwoForms(), setting.model, setting.target)
    assert [(name, form.label) for name, form in forms.items()] == [
        ("default", SHORTER),
        ("f32", ""),
    ]
