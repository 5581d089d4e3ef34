"""Saved models come back in a process that knows neither the module nor how it was built."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch_case import BACKEND, TARGET, Case, ResNet, images, seeded

from octavo.backends.pytorch.load import FILE, NAMES
from octavo.errors import DataError, ModelError


@pytest.fixture(scope="module")
def case():
    return Case(seeded(ResNet(channels=64)), (images(),))


@pytest.fixture(scope="module")
def saved(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    BACKEND.save(case.built, folder)
    return folder


READ = """
import sys
from pathlib import Path
import numpy as np
from octavo.backends.registry import get_backend
from octavo.target import Target
backend = get_backend("pytorch")
batch = {"image": np.load(sys.argv[2])}
model = backend.restore(Path(sys.argv[1]))
outputs = backend.open(model, Target()).run(batch)
np.save(sys.argv[3], outputs["fc"])
"""


def test_a_fresh_process_computes_the_same(case, saved, tmp_path):
    np.save(tmp_path / "in.npy", case.batch["image"])
    files = [str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", READ, str(saved), *files], check=True)
    assert np.array_equal(np.load(files[1]), case.run(case.built)["fc"])


PLAIN = """
import sys
import numpy as np
import torch
import torch.ao.quantization.fx._decomposed
program = torch.export.load(sys.argv[1])
assert not [name for name in sys.modules if name.startswith("octavo")]
np.save(sys.argv[3], program.module()(torch.from_numpy(np.load(sys.argv[2])))[0].numpy())
"""


def test_torch_alone_runs_the_file(case, saved, tmp_path):
    np.save(tmp_path / "in.npy", case.batch["image"])
    files = [str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", PLAIN, str(saved / FILE), *files], check=True)
    expected = case.run(case.built)["fc"]
    step = np.ptp(expected) / 255
    assert np.abs(np.load(files[1]) - expected).max() <= step * 1.01


def test_the_file_is_a_third_of_fp32(case, saved, tmp_path):
    BACKEND.save(case.model, tmp_path)
    assert (saved / FILE).stat().st_size < 0.35 * (tmp_path / FILE).stat().st_size


def test_a_reference_comes_back_too(case, tmp_path):
    BACKEND.save(case.reference, tmp_path)
    assert np.array_equal(case.output(BACKEND.restore(tmp_path)), case.output(case.reference))


def test_the_baseline_comes_back_with_operators_in_place(case, tmp_path):
    baseline = BACKEND.baselines(case.model, TARGET)["default"]
    BACKEND.save(baseline, tmp_path)
    restored = BACKEND.restore(tmp_path)
    names = " ".join(str(node.target) for node in restored.native.program.graph.nodes)
    assert "relu_" in names and "add_" in names
    assert np.array_equal(case.output(restored), case.output(baseline))


def test_tensors_of_a_restored_model_have_their_names(case, saved):
    from octavo.testing.case import Recorder

    names = ["stem_2", "blocks_0_relu_1", "fc"]
    found = []
    for model in (case.built, BACKEND.restore(saved)):
        recorder = Recorder(names)
        BACKEND.observe(model, [case.batch], recorder, TARGET)
        found.append(recorder.joined())
    assert all(np.array_equal(found[0][name], found[1][name]) for name in names)


def test_a_shape_that_does_not_fit_is_refused(saved):
    session = BACKEND.open(BACKEND.restore(saved), TARGET)
    with pytest.raises(DataError, match=r"'image' is float32\[2, 3, 8, 8\]; expected"):
        session.run({"image": np.zeros((2, 3, 8, 8), np.float32)})


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"version": 99})])
def test_damaged_names_are_an_error(saved, tmp_path, content):
    (tmp_path / FILE).write_bytes((saved / FILE).read_bytes())
    (tmp_path / NAMES).write_text(content)
    with pytest.raises(ModelError, match="missing or damaged"):
        BACKEND.restore(tmp_path)


def test_threads_are_those_of_the_session_that_runs(case):
    one = BACKEND.open(case.built, TARGET)
    two = BACKEND.open(case.built, TARGET.__class__(threads=2))
    two.run(case.batch)
    assert torch.get_num_threads() == 2
    one.run(case.batch)
    assert torch.get_num_threads() == 1


def test_arrays_of_any_layout_are_taken_and_left_alone(case):
    session = BACKEND.open(case.built, TARGET)
    expected = session.run(case.batch)["fc"]
    image = case.batch["image"]
    frozen, turned = image.copy(), np.asfortranarray(image)
    frozen.flags.writeable = False
    mirrored = image[::-1].copy()[::-1]
    for given in (frozen, turned, mirrored):
        assert np.array_equal(session.run({"image": given})["fc"], expected)
    assert np.array_equal(image, case.inputs[0].numpy())
