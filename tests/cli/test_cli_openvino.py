"""The commands with OpenVINO as the runtime of an artifact that was made for ONNX Runtime."""

import importlib.util
import json

import numpy as np
import pytest

import octavo as package
from octavo.artifact import open_artifact
from octavo.backends.registry import ENTRIES, get_backend
from octavo.errors import ExitCode
from octavo.target import Target

pytestmark = pytest.mark.skipif(
    bool(ENTRIES["openvino"].missing), reason="openvino is not installed"
)


def test_explain_reads_back_what_another_runtime_executes(octavo, artifact):
    code, out, err = octavo("explain", artifact[0], "--runtime", "openvino", "--json")
    report = json.loads(out)
    rows = {row["id"]: row for row in report["rows"]}

    assert code == ExitCode.DONE
    assert report["basis"] == "audit"
    assert rows["body/conv"]["executed"] == "int8"
    assert rows["body/conv"]["kernels"] == ["Convolution"]
    assert "made for ONNX Runtime: running it in OpenVINO" in err


def test_explain_plans_a_float_model_for_openvino(octavo, place):
    code, out, _ = octavo("explain", place / "net.onnx", "--runtime", "openvino", "--json")

    assert code == ExitCode.DONE
    assert json.loads(out)["basis"] == "plan"


def test_benchmark_measures_the_two_runtimes_against_each_other(octavo, artifact):
    code, out, _ = octavo(
        "benchmark", artifact[0], "--runtime", "openvino", "--baseline", artifact[0],
        "--baseline-runtime", "onnxruntime", "--seconds", "1", "--json",
    )  # fmt: skip
    report = json.loads(out)

    assert code == ExitCode.DONE
    assert report["ratio"] > 0
    assert report["baseline"]["label"].endswith("(onnxruntime)")


def test_benchmark_measures_against_what_openvino_runs_a_source_in(octavo, artifact, place):
    code, out, _ = octavo(
        "benchmark", artifact[0], "--runtime", "openvino", "--baseline", place / "net.onnx",
        "--seconds", "0.5", "--json",
    )  # fmt: skip
    report = json.loads(out)
    backend = get_backend("openvino")
    forms = backend.baselines(backend.load(place / "net.onnx"), Target(threads=1))
    labels = {report["baseline"]["label"]}
    labels |= {pair["baseline"]["label"] for pair in report.get("baselines", {}).values()}

    assert code == ExitCode.DONE
    assert len(labels) == len(forms)
    assert all(form.label in " ".join(labels) for form in forms.values())


def test_an_artifact_is_loaded_in_the_other_runtime(artifact, place):
    images = np.load(place / "labels.npz")["image"][:20]

    there = package.load(artifact[0], runtime="openvino")(images)
    here = package.load(artifact[0])(images)

    assert there.shape == here.shape
    assert np.abs(there - here).max() < 0.05 * np.abs(here).max()


def test_quantize_makes_an_artifact_for_openvino(octavo, place, tmp_path):
    code, out, err = octavo(
        "quantize", place / "net.onnx", "-o", tmp_path / "out", "--runtime", "openvino",
        "--calibration", place / "cal.npz", "--evaluation", place / "labels.npz",
        "--seconds", "1", "--json",
    )  # fmt: skip
    report = json.loads(out)
    manifest = open_artifact(tmp_path / "out").manifest

    assert code in (ExitCode.DONE, ExitCode.NOT_FASTER), err
    assert manifest.backend == "openvino"
    assert "openvino" in manifest.versions
    if code == ExitCode.DONE:
        assert report["groups"]["int8"] >= 3
        assert package.load(tmp_path / "out")(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 10)


def test_a_runtime_that_does_not_run_the_model_names_those_that_do(octavo, artifact):
    code, _, err = octavo("explain", artifact[0], "--runtime", "openvin")

    assert code == ExitCode.BAD_INPUT
    assert "it runs in onnxruntime, openvino" in err
    assert "did you mean 'openvino'" in err


def test_a_missing_package_is_told_with_the_line_that_installs_it(octavo, place, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name)
    )
    get_backend.cache_clear()

    code, _, err = octavo("explain", place / "net.onnx", "--runtime", "openvino")

    assert code == ExitCode.BAD_INPUT
    assert "needs openvino, which is not installed" in err
    assert "pip install 'openvino>=" in err
