import errno
import json
import shutil
from dataclasses import replace

import pytest

from octavo import workspace
from octavo.artifact import Manifest, check_output, is_artifact, open_artifact, write_artifact
from octavo.errors import ArtifactError
from octavo.plan import S8, U8, Format, Plan, Range, Recipe

PLAN = Plan({"conv": Format("int8", S8, (U8,), (U8, None))}, Recipe("mse"))
MANIFEST = Manifest(
    octavo="0.1.0",
    backend="reference",
    source={"name": "a.onnx", "sha256": None},
    fingerprint="f00",
    plan=PLAN,
    ranges={"x": Range(-1.0, 2.5)},
    groups=({"id": "conv", "executed": "int8"},),
)


def save(folder):
    (folder / "data").mkdir()
    (folder / "net.bin").write_bytes(b"weights")
    (folder / "data" / "more.bin").write_bytes(b"more")


def tree(folder):
    return {
        str(file.relative_to(folder)): file.is_file() and file.read_bytes()
        for file in folder.rglob("*")
    }


def test_what_is_written_is_read_back(tmp_path):
    written = write_artifact(tmp_path / "out", MANIFEST, save)
    opened = open_artifact(tmp_path / "out")
    assert opened.manifest.plan == PLAN
    assert opened.manifest.ranges == MANIFEST.ranges
    assert json.dumps(opened.manifest.to_json()) == json.dumps(written.manifest.to_json())
    assert (opened.model_folder / "data" / "more.bin").read_bytes() == b"more"


def test_only_the_artifact_is_left(tmp_path):
    write_artifact(tmp_path / "deep" / "er" / "out", MANIFEST, save)
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["out"]


def test_an_artifact_is_replaced(tmp_path):
    write_artifact(tmp_path / "out", MANIFEST, save)
    write_artifact(
        tmp_path / "out", replace(MANIFEST, cpu="new"), lambda folder: (folder / "b").touch()
    )
    assert open_artifact(tmp_path / "out").manifest.cpu == "new"
    assert [path.name for path in (tmp_path / "out" / "model").iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
def test_a_failure_while_writing_leaves_everything_as_it_was(tmp_path, failure):
    write_artifact(tmp_path / "out", MANIFEST, save)
    before = tree(tmp_path)

    def fail(folder):
        save(folder)
        raise failure

    with pytest.raises((ArtifactError, KeyboardInterrupt, ValueError)):
        write_artifact(tmp_path / "out", MANIFEST, fail)
    assert tree(tmp_path) == before


def test_a_failure_leaves_no_new_parents(tmp_path):
    def fail(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactError, match="No space left on device"):
        write_artifact(tmp_path / "a" / "b" / "out", MANIFEST, fail)
    assert list(tmp_path.iterdir()) == []


def test_the_old_artifact_returns_when_the_new_one_cannot_be_put_in_its_place(tmp_path):
    old, absent = tmp_path / "old", tmp_path / "place" / "absent"
    old.mkdir()
    (old / "file").touch()
    absent.parent.mkdir()
    with pytest.raises(FileNotFoundError):
        workspace.replace_folder(absent, old)
    assert (old / "file").exists()


def test_a_full_disk_inside_a_workspace_is_one_line(tmp_path):
    with (
        pytest.raises(ArtifactError, match="is full"),
        workspace.workspace(tmp_path / "out") as place,
    ):
        (place / "half").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_not_of_the_disk_passes_a_workspace(tmp_path):
    with pytest.raises(FileNotFoundError), workspace.workspace(tmp_path / "out"):
        (tmp_path / "none").read_bytes()


def test_too_little_space_is_said_before_the_work(tmp_path):
    with pytest.raises(ArtifactError, match=r"about \d+ MB are needed .* MB are free"):
        workspace.require_space(tmp_path, 1 << 60)


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years")
    with pytest.raises(ArtifactError, match=r"did not write \(thesis\.tex\)"):
        check_output(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years"


def test_an_artifact_with_a_file_of_the_user_is_refused(tmp_path):
    write_artifact(tmp_path / "out", MANIFEST, save)
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(ArtifactError, match=r"notes\.txt"):
        check_output(tmp_path / "out")


def test_a_manifest_of_another_tool_is_no_artifact(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "web app"}')
    assert not is_artifact(tmp_path)
    with pytest.raises(ArtifactError, match="choose an empty or a new folder"):
        check_output(tmp_path)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ArtifactError, match="is a file"):
        check_output(tmp_path / "out")


@pytest.mark.parametrize("parent", ["/proc/nowhere", "/dev/null"])
def test_an_unwritable_parent_is_refused_before_work(parent):
    with pytest.raises(ArtifactError, match="cannot write into"):
        check_output(workspace.Path(parent) / "out")


def test_the_current_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="current folder"):
        check_output(workspace.Path())


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    write_artifact(tmp_path / "out", MANIFEST, save)
    assert is_artifact(tmp_path / "out")


def edit_manifest(folder, **changes):
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change(folder):
    (folder / "model" / "net.bin").write_bytes(b"weightz")


def remove(folder):
    (folder / "model" / "net.bin").unlink()


def bump(folder):
    edit_manifest(folder, schema_version=99)


def damage(folder):
    edit_manifest(folder, plan={})


def truncate(folder):
    (folder / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (change, "checksum"),
        (remove, "'model/net.bin' is missing"),
        (bump, "schema version 99"),
        (damage, "damaged"),
        (truncate, "not an Octavo artifact"),
        (shutil.rmtree, "no folder"),
    ],
)
def test_a_harmed_artifact_is_refused_with_the_reason(tmp_path, harm, message):
    write_artifact(tmp_path / "out", MANIFEST, save)
    harm(tmp_path / "out")
    with pytest.raises(ArtifactError, match=message):
        open_artifact(tmp_path / "out")
