"""Folders that are replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from octavo import workspace
from octavo.workspace import exchange, replace_folder


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return folder(tmp_path / "new", "new"), folder(tmp_path / "target", "old")


def test_two_folders_are_exchanged_in_one_step(pair: tuple[Path, Path]) -> None:
    new, target = pair
    assert exchange(new, target)
    assert ((new / "file").read_text(), (target / "file").read_text()) == ("old", "new")


@pytest.mark.parametrize("can_exchange", [True, False])
def test_the_new_folder_takes_the_place_of_the_old(
    pair: tuple[Path, Path], can_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_exchange:
        monkeypatch.setattr(workspace, "exchange", lambda *_: False)
    new, target = pair
    replace_folder(new, target)
    assert (target / "file").read_text() == "new"


@pytest.mark.parametrize("done_before", [0, 1])
def test_an_interrupt_between_two_renames_leaves_the_old_folder(
    pair: tuple[Path, Path], done_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, target = pair
    monkeypatch.setattr(workspace, "exchange", lambda *_: False)
    rename, calls = Path.rename, []

    def interrupted(self: Path, other: Path) -> Path:
        calls.append(self)
        result = rename(self, other)
        if len(calls) == done_before + 1 == 1:
            raise KeyboardInterrupt
        return result

    def refused(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", refused if done_before else interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(new, target)
    assert (target / "file").read_text() == "old"


def test_the_contents_of_a_folder_are_counted(tmp_path: Path) -> None:
    folder(tmp_path / "a", "12345")
    assert workspace.folder_size(tmp_path) == 5
