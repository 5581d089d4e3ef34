"""Plans with corrections, from the search to the manifest and to `compare`."""

from dataclasses import replace

import numpy as np
import pytest

import octavo
from octavo.backends.reference import ReferenceBackend
from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.data import open_dataset
from octavo.errors import UsageError
from octavo.job import QuantizeJob
from octavo.search.candidates import candidates
from octavo.target import Target
from octavo.testing.networks import convnet
from octavo.testing.simulation import sqnr
from octavo.workflow.compare import _unscaled
from octavo.workflow.correct import correct_model
from octavo.workflow.judge import Judge
from octavo.workflow.measure import Throughput
from octavo.workflow.prospect import Prospect


def unequal():
    """The contract's network with the channels of its first layer far apart."""
    network, factor = convnet(), np.geomspace(0.002, 500, 16).astype(np.float32)
    weights = dict(network.weights)
    weights["stem.weight"] = weights["stem.weight"] * factor.reshape(-1, 1, 1, 1)
    weights["stem.bias"] = weights["stem.bias"] * factor
    weights["depthwise.weight"] = weights["depthwise.weight"] / factor.reshape(-1, 1, 1, 1)
    return replace(network, weights=weights)


@pytest.fixture(scope="module")
def batches():
    random = np.random.default_rng(0)
    return [random.standard_normal((32, 3, 12, 12)).astype(np.float32) for _ in range(6)]


@pytest.fixture(scope="module")
def network():
    return unequal()


@pytest.fixture(scope="module")
def evaluate(network):
    """A score: one less the distance of the outputs from those of FP32."""
    images = np.random.default_rng(1).standard_normal((64, 3, 12, 12)).astype(np.float32)
    backend = ReferenceBackend()
    expected = backend.open(backend.load(network), Target()).run({"image": images})
    expected = expected["classifier.out"]

    def score(predict):
        return 1 - np.linalg.norm(predict(images) - expected) / np.linalg.norm(expected)

    return score


@pytest.fixture(scope="module")
def quantized(network, batches, evaluate, tmp_path_factory):
    """Quantize to a folder; the reference backend is as fast as the test needs it."""

    def faster(judge, trial):
        sides = [
            Measurement(name, speed, Latency(1, 1, 1), 1, 1.0, (0,))
            for name, speed in (("FP32", 1.0), ("INT8", 2.0))
        ]
        pair = PairResult(*sides, 2.0, (1.9, 2.1), 4, 1.0, 1, 1, Noise(0.0, 0.0, 0.0, None))
        return Throughput({"default": pair})

    def run(**options):
        folder = tmp_path_factory.mktemp("corrected") / "out"
        options = {"tolerance": "10%", "approach": "static", **options}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Judge, "measure", faster)
            patched.setattr(Prospect, "promise", lambda prospect, plan: 2.0)
            patched.setenv("XDG_CACHE_HOME", str(folder.parent))
            octavo.quantize(
                network, calibration=batches, evaluate=evaluate, output=folder, **options
            )  # fmt: skip
        return folder

    return run


def trials(folder):
    return {row["plan"]: row for row in octavo.load(folder).manifest.trials}


def test_the_plain_plan_is_corrected_where_it_loses_too_much(quantized):
    found = trials(quantized())
    plain, scaled = found["static minmax"], found["static minmax scaled"]
    assert plain["accuracy"]["int8"] < 0.9 < scaled["accuracy"]["int8"]
    assert plain["corrections"] == {}
    assert list(scaled["corrections"]) == ["equalize", "smooth"]
    assert scaled["corrections"]["equalize"]["kept"]


def test_a_plain_plan_that_holds_is_not_corrected(quantized):
    found = trials(quantized(tolerance="60%"))
    assert not [name for name in found if "corrected" in name]


def test_nothing_is_corrected_where_that_was_asked_for(quantized):
    assert not [name for name in trials(quantized(correct="none")) if "corrected" in name]


def test_the_manifest_has_the_factors_and_the_job(quantized):
    manifest = octavo.load(quantized(correct="equalize")).manifest
    assert manifest.plan.recipe.corrections == ("equalize",)
    assert manifest.job["correct"] == ["equalize"]
    scale = manifest.scales["stem_relu.out"]
    assert scale["axis"] == 1
    assert len(scale["factor"]) == 16
    assert max(scale["factor"]) > 100 * min(scale["factor"])


def test_compare_brings_scaled_channels_back(network, quantized, batches):
    folder = quantized(correct="equalize")
    rows = octavo.compare(network, folder, data=batches[0]).differences
    (scaled,) = (row for row in rows if row.tensor == "stem_relu.out")
    assert scaled.sqnr_db > 20


def test_factors_are_divided_along_their_axis():
    values = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    assert np.array_equal(_unscaled(values, None), values)
    found = _unscaled(values, {"axis": 1, "factor": [1.0, 2.0, 4.0]})
    assert np.array_equal(found, [[[0, 1], [1, 1.5], [1, 1.25]]])


def test_corrections_without_data_are_refused(network):
    with pytest.raises(UsageError, match="bias change the model by what calibration data show"):
        octavo.quantize(network, correct="bias")


def test_a_dynamic_plan_is_corrected_without_ranges(setting, images, reporter):
    job = QuantizeJob(approach="dynamic", correct="round")
    (candidate,) = candidates(setting.graph, job)
    data = open_dataset([images], setting.model.inputs, role="calibration")
    made = correct_model(setting, candidate.plan, data, 8, reporter)
    assert made.ranges == {}
    assert made.record["round"]["layers"] == 1
    assert reporter.tracked == [("correcting: round", None)]
    built = setting.backend.build(made.model, candidate.plan, made.ranges, setting.target)
    inputs = {"image": images}
    before, after = (
        setting.backend.open(model, setting.target).run(inputs)["classifier.out"]
        for model in (setting.model, built)
    )
    assert sqnr(after, before) > 30
