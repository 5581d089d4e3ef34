"""Peers quantize in processes of their own and hand over files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from benchmarks import peer_models
from benchmarks.inputs import images, random_inputs
from benchmarks.onnx_models import SCENES, sqnr_db
from benchmarks.peer_models import PEERS, Inputs, Made, Peer, quantize, reference
from octavo.arrays import Batch
from octavo.bench.side import write_batch
from octavo.data.digits import DigitScenes
from octavo.model import TensorSpec

IMAGE = TensorSpec("image", "float32", ("batch", 3, 64, 64))


def scenes(count: int) -> Batch:
    return next(DigitScenes(IMAGE, "calibration", count).batches(count)).inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The demo's network and random data."""
    folder = tmp_path_factory.mktemp("inputs")
    inputs = Inputs(SCENES, folder / "calibration.npz", folder / "evaluation.npz")
    for file in (inputs.calibration, inputs.evaluation):
        write_batch(file, scenes(8))
    return inputs


@pytest.fixture(scope="module")
def made(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which ONNX Runtime's quantizer has written its models."""
    folder = tmp_path_factory.mktemp("made")
    results = quantize(PEERS["stock"], "static", inputs, folder / "stock", folder)
    assert [one.error for one in results] == [None] * 4
    return folder / "stock"


def test_every_setting_gives_a_quantized_model_that_runs(made: Path) -> None:
    batch = dict(scenes(8))
    expected = ort.InferenceSession(SCENES).run(None, batch)
    for file in made.glob("*/model.onnx"):
        kinds = [node.op_type for node in onnx.load(file).graph.node]
        assert kinds.count("QuantizeLinear") > 10
        (ratio,) = sqnr_db(expected, ort.InferenceSession(file).run(None, batch))
        assert ratio is not None and ratio > 15
    assert len(list(made.glob("*/model.onnx"))) == 4


def test_what_was_made_from_the_same_files_is_used_again(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def run(peer: Peer, approach: str, inputs: Inputs, folder: Path, places: Path) -> list[Made]:
        runs.append(inputs)
        return [Made("fast", folder / "fast", 1.0), Made("slow", folder / "slow", 2.0, "refused")]

    monkeypatch.setattr(peer_models, "_run", run)
    other = replace(inputs, calibration=tmp_path / "other.npz")
    write_batch(other.calibration, random_inputs((IMAGE,), 2, seed=1))
    folder = tmp_path / "made"
    first, again, changed = (
        quantize(PEERS["stock"], "static", given, folder, tmp_path)
        for given in (inputs, inputs, other)
    )
    assert first == again == changed
    assert runs == [inputs, other]


def test_a_peer_that_crashes_is_reported_with_its_last_words(
    inputs: Inputs, tmp_path: Path
) -> None:
    (made,) = quantize(PEERS["stock"], "no such approach", inputs, tmp_path / "made", tmp_path)
    assert made.error is not None and "invalid choice: 'no such approach'" in made.error


def test_a_model_of_openvino_runs_in_its_own_environment(tmp_path: Path) -> None:
    made = Made("mixed", tmp_path / "mixed", 1.0)
    ref = reference("openvino", made, tmp_path, precision="bf16")
    assert ref.program[0] == str(tmp_path / "openvino" / "bin" / "python")
    assert ref.program[-4:] == ("--runtime", "openvino", "--precision", "bf16")


def test_an_onnx_model_runs_in_our_onnxruntime_unless_it_must_not(tmp_path: Path) -> None:
    made = Made("basic", tmp_path / "basic", 1.0)
    ours = reference("neural_compressor", made, tmp_path)
    theirs = reference("neural_compressor", made, tmp_path, own=True)
    assert (ours.backend, ours.program) == ("onnxruntime", ())
    assert theirs.program[0] == str(tmp_path / "neural-compressor" / "bin" / "python")
    assert theirs.program[-4:-2] == ("--runtime", "onnxruntime")


def test_a_peer_without_the_approach_enters_with_its_first() -> None:
    assert PEERS["openvino"].approach("dynamic") == "static"
    assert Peer("script", "title").approach("dynamic") == "dynamic"


@pytest.mark.parametrize("shape", [(2, 3, 32, 48), (2, 32, 48, 3)])
def test_images_differ_and_keep_their_layout(shape: tuple[int, ...]) -> None:
    made = images(np.random.default_rng(0), shape)
    assert made.shape == shape
    channel = shape.index(3)
    means = made.mean(axis=tuple({1, 2, 3} - {channel}))
    assert np.abs(means[0] - means[1]).max() > 0.05
    assert made.min() >= 0 and made.max() <= 1
