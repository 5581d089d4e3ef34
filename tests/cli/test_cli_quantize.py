import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import octavo
from octavo.artifact import open_artifact
from octavo.errors import ExitCode


def test_json_has_the_documented_keys(artifact):
    folder, report = artifact
    assert set(report) >= {
        "accuracy", "throughput", "evaluations", "seconds", "peak_memory_mb", "groups", "artifact",
    }  # fmt: skip
    assert set(report["accuracy"]) == {
        "fp32", "int8", "change_relative", "metric", "higher_is_better", "samples", "verdict",
        "lost", "gained", "proof",
    }  # fmt: skip
    assert set(report["throughput"]) >= {
        "fp32", "int8", "ratio", "ratio_ci95", "instances", "cores_per_instance", "batch_size",
    }  # fmt: skip
    assert report["artifact"] == str(folder)


def test_the_report_tells_what_was_measured(artifact):
    _, report = artifact
    assert report["accuracy"]["metric"] == "top1"
    assert report["accuracy"]["fp32"] == 1.0
    assert report["accuracy"]["samples"] == 100
    assert report["throughput"]["ratio"] > 1
    assert report["groups"] == {"total": 5, "int8": 5}
    assert report["evaluations"] == 1.0
    assert report["saved"] == "int8"


def test_the_artifact_runs_and_agrees_with_fp32(artifact, place):
    folder, _ = artifact
    data = np.load(place / "labels.npz")
    predicted = octavo.load(folder)(data["image"]).argmax(1)
    assert np.mean(predicted == data["label"]) >= 0.99


def test_the_manifest_tells_the_outcome(artifact):
    folder, report = artifact
    manifest = open_artifact(folder).manifest
    assert (manifest.saved, manifest.exit_code) == ("int8", 0)
    assert manifest.reason == report["reason"]
    assert manifest.preprocessing == {}


def test_the_manifest_tells_where_it_came_from(artifact):
    folder, report = artifact
    manifest = open_artifact(folder).manifest
    assert manifest.source["name"] == "net.onnx"
    assert manifest.backend == "onnxruntime"
    assert manifest.job["calibration"] == "cal.npz"
    assert {"onnxruntime", "octavo"} <= set(manifest.versions)
    assert manifest.ranges["r1"].low == 0.0
    assert manifest.measurements["accuracy"] == report["accuracy"]


def test_only_the_artifact_was_left_behind(artifact, place):
    assert [path.name for path in place.iterdir() if "octavo-" in path.name] == []


def test_a_loss_beyond_the_tolerance_saves_the_best_model(octavo, place, tmp_path):
    """INT8 cannot return the very logits of FP32."""
    code, out, err = octavo(
        "quantize", place / "net.onnx", "-o", tmp_path / "out", "--calibration", place / "cal.npz",
        "--evaluation", place / "logits.npz", "--tolerance", "0 absolute", "--ranges", "minmax",
        "--approach", "static", "--seconds", "0.5", "--json",
    )  # fmt: skip
    report = json.loads(out)
    assert code == ExitCode.TOLERANCE_NOT_REACHED
    assert report["accuracy"]["verdict"] == "exceeded"
    assert report["accuracy"]["metric"] == "mse"
    faster = report["throughput"]["ratio_ci95"][0] > 1  # a loaded machine may find it is not
    assert report["saved"] == ("int8" if faster else "fp32")
    assert "no plan is within 0.0 absolute of FP32 and faster: " in err
    assert bool(open_artifact(tmp_path / "out").manifest.plan.formats) is faster


def test_a_model_without_anything_to_quantize_stays_float(octavo, place, tmp_path):
    code, out, err = octavo("quantize", place / "soft.onnx", "-o", tmp_path / "out", "--json")
    report = json.loads(out)
    assert code == ExitCode.NOT_FASTER
    assert report["saved"] == "fp32"
    assert report["throughput"] is None
    assert report["groups"]["int8"] == 0
    assert "the float model was kept" in err
    rows = {row["id"]: row for row in open_artifact(tmp_path / "out").manifest.groups}
    assert rows["softmax"]["executed"] == "fp32"
    assert rows["softmax"]["reason"]


def test_without_data_the_accuracy_is_undecided_and_the_user_is_told(octavo, place, tmp_path):
    code, out, err = octavo(
        "quantize", place / "net.onnx", "-o", tmp_path / "out", "--seconds", "2", "--json"
    )
    report = json.loads(out)
    assert code == ExitCode.DONE
    assert "NO CALIBRATION DATA" in err
    assert report["evaluated_on"] == "random"
    assert report["accuracy"]["verdict"] == "undecided"
    assert any("NO CALIBRATION DATA" in note for note in report["notes"])


def test_a_fixed_batch_size_is_filled_up(octavo, place, tmp_path):
    """100 samples in batches of 8: the last batch has 4, and only those count."""
    code, out, _ = octavo(
        "quantize", place / "fixed.onnx", "-o", tmp_path / "out", "--calibration",
        place / "cal.npz", "--evaluation", place / "labels.npz", "--seconds", "2", "--json",
    )  # fmt: skip
    report = json.loads(out)
    assert code == ExitCode.DONE
    assert report["accuracy"]["samples"] == 100
    assert report["accuracy"]["fp32"] == 1.0
    assert report["throughput"]["batch_size"] == 8


def test_everything_but_the_json_goes_to_standard_error(place, tmp_path):
    module = tmp_path / "noisy.py"
    module.write_text(
        "import numpy\n"
        "def batches():\n"
        "    print('reading')\n"
        "    return [numpy.ones((4, 3, 32, 32), numpy.float32)]\n"
    )
    command = [sys.executable, "-m", "octavo.cli", "quantize", str(place / "soft.onnx"), "--json"]
    command += ["-o", "out", "--calibration", "noisy:batches"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(done.stdout)["artifact"] == str(tmp_path / "out")
    assert "reading" in done.stderr


def test_overlapping_data_can_be_asked_for(octavo, place, tmp_path):
    code, _, err = octavo(
        "quantize", place / "soft.onnx", "-o", tmp_path / "out", "--allow-overlap",
        "--calibration", place / "cal.npz", "--evaluation", place / "cal.npz",
    )  # fmt: skip
    assert code == ExitCode.NOT_FASTER
    assert "60 of the evaluation samples are in the calibration data too" in err


def test_pictures_are_prepared_as_asked_and_the_artifact_says_how(octavo, place, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (4, 40, 36, 3), dtype=np.uint8)
    for index, pixels in enumerate(colours):
        folder = tmp_path / "pictures" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    code, out, _ = octavo(
        "quantize", place / "soft.onnx", "-o", tmp_path / "out", "--calibration",
        f"images:{tmp_path / 'pictures'}", "--mean", "0.5,0.4,0.3", "--std", "0.2", "--json",
    )  # fmt: skip
    manifest = open_artifact(tmp_path / "out").manifest
    assert code == ExitCode.NOT_FASTER
    assert json.loads(out)["accuracy"]["samples"] == 4
    assert manifest.preprocessing["mean"] == [0.5, 0.4, 0.3]
    assert manifest.preprocessing["std"] == [0.2]
    assert manifest.preprocessing["size"] == [32, 32]
    assert manifest.preprocessing["layout"] == "NCHW"
    assert manifest.preprocessing["scale"] == 1 / 255


@pytest.mark.parametrize("table", [False, True])
def test_the_table_shows_what_matters(octavo, place, tmp_path, table):
    flag = [] if table else ["--json"]
    _, out, _ = octavo("quantize", place / "soft.onnx", "-o", tmp_path / "out", *flag)
    assert out.startswith("{") != table
    assert ("agreement" in out) and ("evaluations" in out)
