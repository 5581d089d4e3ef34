"""Every mistake gives one clear line, the right exit code, and changes nothing on disk."""

import errno
import json
import re

import numpy as np
import pytest

from octavo.backends.onnxruntime import OnnxRuntimeBackend
from octavo.errors import ExitCode


def tree(folder):
    return {str(path): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def refused(octavo, place, artifact, monkeypatch, tmp_path):
    """Run `quantize` onto an existing artifact; return the one line that it fails with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").symlink_to(artifact[0])
    before = tree(place)

    def run(source="net.onnx", *options, output="kept"):
        arguments = [*([] if source is None else [place / source]), "-o", output, *options]
        code, out, err = octavo("quantize", *arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == ExitCode.BAD_INPUT
        assert out == ""
        assert len(lines) == 1
        assert err.splitlines()[-1] == lines[0]
        assert "Traceback" not in err
        assert {name: content for name, content in tree(place).items() if name in before} == before
        return lines[0]

    return run


def test_a_missing_model(refused):
    assert "no model at" in refused("none.onnx")


def test_no_model_at_all(refused):
    assert "no model was given" in refused(None)


def test_a_truncated_model(refused, place):
    (place / "cut.onnx").write_bytes((place / "net.onnx").read_bytes()[:3000])
    assert "may be truncated" in refused("cut.onnx")


def test_a_file_that_is_no_onnx(refused, place):
    (place / "text.onnx").write_text("hello")
    assert "is not a readable ONNX file" in refused("text.onnx")


def test_a_model_of_no_known_kind(refused):
    assert "no backend reads" in refused("cal.npz")


def test_an_artifact_as_the_source(refused, artifact):
    assert "is an artifact already" in refused(artifact[0].name)


def data(tmp_path, **arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return "--calibration", "data.npz"


def test_a_wrong_input_name(refused, tmp_path):
    options = data(tmp_path, picture=np.ones((2, 3, 32, 32), np.float32))
    assert "no input 'picture'" in refused("net.onnx", *options)


def test_a_wrong_input_shape(refused, tmp_path):
    options = data(tmp_path, image=np.ones((2, 3, 16, 16), np.float32))
    assert "must be 32, not 16" in refused("net.onnx", *options)


def test_data_without_a_sample(refused, tmp_path):
    options = data(tmp_path, image=np.ones((0, 3, 32, 32), np.float32))
    assert "is empty" in refused("net.onnx", *options)


def test_data_with_nan(refused, tmp_path):
    images = np.ones((4, 3, 32, 32), np.float32)
    images[2, 0, 0, 0] = np.nan
    assert "sample 2 is NaN" in refused("net.onnx", *data(tmp_path, image=images))


def test_missing_data(refused):
    assert "no such file or folder" in refused("net.onnx", "--calibration", "none.npz")


def test_data_of_no_known_kind(refused, place):
    assert "files are not read" in refused("net.onnx", "--calibration", place / "net.onnx")


def test_an_unknown_metric(refused, place):
    line = refused("net.onnx", "--evaluation", place / "labels.npz", "--metric", "topp1")
    assert "did you mean 'top1'?" in line


def test_a_metric_without_the_labels_it_needs(refused, place):
    line = refused("net.onnx", "--calibration", place / "cal.npz", "--metric", "top1")
    assert "needs labels" in line


def test_overlapping_data(refused, place):
    options = ("--calibration", place / "cal.npz", "--evaluation", place / "cal.npz")
    assert "60 of the evaluation samples are in the calibration data" in refused(
        "net.onnx", *options
    )


@pytest.mark.parametrize("flag", ["--float", "--int8"])
def test_a_pattern_without_a_match(refused, flag):
    assert "matches no group of the model; did you mean 'head/fc'?" in refused(
        "net.onnx", flag, "hed/*"
    )


def test_a_group_without_an_int8_form(refused):
    assert "'softmax', which has no such form" in refused("soft.onnx", "--int8", "softmax")


def test_values_that_are_not_finite_are_traced_to_their_operator(refused, tmp_path):
    images = np.ones((4, 3, 32, 32), np.float32)
    images[3, 0, 0, 0] = -1
    assert "operator 'stem/log' (Log) makes NaN or infinite values" in refused(
        "log.onnx", *data(tmp_path, image=images)
    )


def test_a_range_that_is_not_finite_is_traced_to_its_operator(refused, place, tmp_path):
    images = np.ones((4, 3, 32, 32), np.float32)
    images[3, 0, 0, 0] = 0
    line = refused(
        "log.onnx", *data(tmp_path, image=images), "--evaluation", place / "labels.npz",
        "--metric", "agreement",
    )  # fmt: skip
    assert "operator 'stem/log' (Log) makes NaN or infinite values" in line
    assert "--float 'stem/conv'" in line


def test_more_threads_than_cores(refused):
    assert "ask for 1 to" in refused("net.onnx", "--threads", "4096")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", "0"], "greater than or equal to 1"),
        (["--tolerance", "little"], "cannot read the tolerance 'little'"),
        (["--approach", "qat"], "should be 'auto', 'static' or 'dynamic'"),
        (["--size", "64x"], "size is one number of pixels"),
        (["--interpolation", "cubic"], "should be 'nearest', 'bilinear', 'bicubic' or 'lanczos'"),
        (["--shape", "image"], "--shape takes INPUT=SIZES"),
        (["--mean", "a,b"], "--mean takes numbers"),
        (["--mean", "0.5"], "preprocessing is for image folders"),
        (["--thread", "2"], "No such option: --thread"),
        (["--config", "none.yaml"], "cannot read the job file"),
    ],
)
def test_a_wrong_option(refused, place, options, message):
    assert message in refused("net.onnx", "--calibration", place / "cal.npz", *options)


def test_an_unknown_key_in_the_job_file(refused, tmp_path):
    (tmp_path / "job.yaml").write_text("tolerence: 1%\n")
    assert "unknown option 'tolerence'; did you mean 'tolerance'?" in refused(
        "net.onnx", "--config", "job.yaml"
    )


def test_a_relative_tolerance_of_nothing(refused, tmp_path):
    images = np.random.default_rng(0).random((4, 3, 32, 32), dtype=np.float32)
    np.savez(tmp_path / "wrong.npz", image=images, label=np.full(4, 9))
    line = refused("net.onnx", "--evaluation", "wrong.npz")
    assert "top1 of the FP32 model is 0" in line
    assert "give an absolute tolerance" in line


def test_a_folder_of_the_user(refused, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years")
    assert "did not write (thesis.tex)" in refused("net.onnx", output="home")


def test_an_unwritable_folder(refused):
    assert "cannot write into '/proc'" in refused("net.onnx", output="/proc/out")


def test_no_output(octavo, place):
    code, _, err = octavo("quantize", place / "net.onnx")
    assert code == ExitCode.BAD_INPUT
    assert err == "error: no output folder was given; add -o DIR\n"


def test_the_missing_model_is_missed_first(octavo):
    code, _, err = octavo("quantize")
    assert code == ExitCode.BAD_INPUT
    assert err.startswith("error: no model was given")


@pytest.mark.parametrize(
    "arguments", [["quantize", "--thread", "2"], ["nothing"], ["compare", "a.onnx"]]
)
def test_what_is_wrong_ends_before_the_advice(octavo, arguments):
    code, _, err = octavo(*arguments)
    assert code == ExitCode.BAD_INPUT
    assert re.search(r"[^.\s]\. Try 'octavo --help'\.\n$", err)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_benchmark_of_no_time_is_refused_at_once(octavo, place, seconds):
    code, out, err = octavo("benchmark", place / "net.onnx", "--seconds", seconds)
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert err.startswith("error: cannot measure for")


@pytest.mark.parametrize("shape", ["image", "image=", "=1x3", "image=1x0x3", "image=1xthree"])
@pytest.mark.parametrize("command", ["quantize", "benchmark"])
def test_a_malformed_shape(octavo, place, command, shape):
    code, _, err = octavo(command, place / "net.onnx", "--shape", shape)
    assert code == ExitCode.BAD_INPUT
    assert err == (
        "error: --shape takes INPUT=SIZES such as image=1x3x224x224, each at least 1; not "
        f"{shape!r}\n"
    )


def test_test_only_files_are_not_proposed(octavo, place):
    code, _, err = octavo("explain", place / "cal.npz")
    assert code == ExitCode.BAD_INPUT
    assert "a model file (.onnx, .pt2)" in err and "the folder of an artifact" in err


@pytest.mark.parametrize("command", ["quantize", "benchmark", "compare"])
def test_the_help_can_be_copied_into_any_shell(octavo, command):
    assert "[:" not in octavo(command, "--help")[1]


def test_a_disk_that_is_too_small(refused, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("octavo.workspace.shutil.disk_usage", lambda path: usage)
    assert "MB are needed" in refused("net.onnx")


@pytest.mark.parametrize("saves", [0, 1])
def test_a_disk_that_becomes_full(refused, monkeypatch, saves):
    """The first save is of the float model, to be measured; the last one is of the artifact."""
    original, done = OnnxRuntimeBackend.save, []

    def save(self, model, folder):
        original(self, model, folder)
        done.append(folder)
        if len(done) > saves:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OnnxRuntimeBackend, "save", save)
    assert (
        "is full" in refused("soft.onnx") if saves == 0 else "No space left" in refused("soft.onnx")
    )


def test_with_json_the_error_is_json_too(octavo, tmp_path):
    code, out, err = octavo("quantize", tmp_path / "none.onnx", "-o", tmp_path / "out", "--json")
    assert json.loads(out) == {"error": err[len("error: ") :].strip(), "exit_code": code}


def test_an_unexpected_error_is_one_line_too(octavo, place, monkeypatch, tmp_path):
    def fail(*arguments, **options):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("octavo.api.explain", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = octavo("explain", place / "net.onnx")
    (log,) = tmp_path.glob("octavo-*.log")
    assert code == 1
    assert err.startswith("error: unexpected ZeroDivisionError: by zero; the traceback is in")
    assert "ZeroDivisionError" in log.read_text()


def test_debug_shows_the_traceback(octavo, place, monkeypatch):
    def fail(*arguments, **options):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("octavo.api.explain", fail)
    assert "Traceback" in octavo("explain", place / "net.onnx", "--debug")[2]
