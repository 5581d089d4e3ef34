import subprocess

import pytest

import octavo
from octavo.backends.reference import ReferenceBackend
from octavo.bench.cores import Core, Topology
from octavo.workflow.machine import describe_machine, git_commit


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "tag", "v1")
    return tmp_path


def test_the_commit_of_a_work_tree(repository):
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD")


def test_changed_files_are_told(repository):
    (repository / "file").write_text("2")
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD") + "-dirty"


def test_a_folder_without_git_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None


def test_a_machine_without_git_has_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_commit(repository) is None


def test_the_machine_is_described_with_versions():
    topology = Topology((Core(0, 0, (0, 2)), Core(1, 1, (1, 3))), quota=1.5)
    found = describe_machine([ReferenceBackend()], topology)
    assert (found["sockets"], found["cores"], found["smt"], found["cpu_limit"]) == (2, 2, True, 1.5)
    assert found["versions"]["octavo"] == octavo.__version__
    assert set(ReferenceBackend().versions().items()) <= set(found["versions"].items())
    assert {"cpu", "instructions", "governor", "git_commit", "python", "system"} <= set(found)
