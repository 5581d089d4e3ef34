"""Reading a `.pt2` file runs no code that it brings along, unless it is trusted."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_case import BACKEND, rows, seeded

from octavo.backends.pytorch.archive import check_archive
from octavo.errors import ModelError, TrustError


class Touch:
    """When it is unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "model.pt2"
    dynamic = ({0: torch.export.Dim.AUTO},)
    exported = torch.export.export(seeded(nn.Linear(16, 4)), (rows(),), dynamic_shapes=dynamic)
    torch.export.save(exported, path)
    return path


def changed(path, folder, name, change):
    """Copy an archive with one of its files changed."""
    made = folder / "changed.pt2"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            new.writestr(entry, change(content) if entry.endswith(name) else content)
    return made


def test_what_torch_saves_is_plain(plain):
    assert check_archive(plain) is None
    model = BACKEND.load(plain)
    assert model.inputs[0].shape == ("batch", 6, 16)
    assert model.source == plain


def test_pickled_weights_are_refused(plain, tmp_path):
    mark = tmp_path / "mark"

    def pickled(content):
        config = json.loads(content)
        next(iter(config["config"].values()))["use_pickle"] = True
        return json.dumps(config).encode()

    path = changed(plain, tmp_path, "weights_config.json", pickled)
    with pytest.raises(TrustError, match=r"holds pickled objects .*--trust"):
        BACKEND.load(path)
    assert not mark.exists()


def test_examples_that_are_no_tensors_are_refused(plain, tmp_path):
    mark = tmp_path / "mark"
    buffer = io.BytesIO()
    torch.save((Touch(mark),), buffer)
    path = changed(plain, tmp_path, "sample_inputs/model.pt", lambda _: buffer.getvalue())

    with pytest.raises(TrustError, match="native code or objects"):
        BACKEND.load(path)
    assert not mark.exists()


def test_expressions_that_are_no_arithmetic_are_refused(plain, tmp_path):
    mark = tmp_path / "mark"
    attack = f"__import__('pathlib').Path('{mark}').touch()"

    def injected(content):
        text = json.loads(content)

        def walk(part):
            if isinstance(part, dict):
                return {k: attack if k == "expr_str" else walk(v) for k, v in part.items()}
            return [walk(one) for one in part] if isinstance(part, list) else part

        return json.dumps(walk(text)).encode()

    path = changed(plain, tmp_path, "models/model.json", injected)
    with pytest.raises(TrustError, match=r"dimension that is computed by .__import__"):
        BACKEND.load(path)
    assert not mark.exists()


def test_functions_that_are_no_operators_are_refused(plain, tmp_path):
    path = changed(
        plain, tmp_path, "models/model.json",
        lambda content: content.replace(b"torch.ops.aten.linear.default", b"torch.hub.load"),
    )  # fmt: skip
    with pytest.raises(TrustError, match=r"calls 'torch\.hub\.load'"):
        BACKEND.load(path)


def test_native_code_and_files_of_old_formats_are_refused(plain, tmp_path):
    for name in ("data/aotinductor/model/model.so", "data/weights/model.pt"):
        path = tmp_path / "code.pt2"
        shutil.copy(plain, path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"archive/{name}", b"")
        with pytest.raises(TrustError, match="native code or objects"):
            BACKEND.load(path)


def test_a_trusted_file_is_read_by_torch(plain, tmp_path):
    buffer = io.BytesIO()
    torch.save((Touch(tmp_path / "mark"),), buffer)
    path = changed(plain, tmp_path, "sample_inputs/model.pt", lambda _: buffer.getvalue())

    BACKEND.load(path, trust=True)
    assert (tmp_path / "mark").exists()  # this is what is refused above


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps({})])
def test_other_files_are_an_error_of_one_line(tmp_path, content):
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"not a readable \.pt2 file") as caught:
        BACKEND.load(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_an_error(plain, tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(plain.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"not a readable \.pt2 file"):
        BACKEND.load(path)
