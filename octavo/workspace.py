"""Folders that appear whole or not at all: temporary places, disk space, replacement by rename."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from octavo.errors import ArtifactError

MEGABYTE = 1 << 20


@contextmanager
def workspace(output: Path | None) -> Iterator[Path]:
    """Make a temporary folder beside `output`, on the same disk, and remove it in the end.

    Missing parents of `output` are created; they go again when `output` was not written.

    Args:
        output: the folder that will be written; None uses the system's temporary place.

    Raises:
        ArtifactError: no folder can be made there, or the disk became full inside the context.
    """
    parent = output.parent if output else Path(tempfile.gettempdir())
    prefix = f".{output.name}.octavo-" if output else "octavo-"
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        _remove_empty(missing)
        raise ArtifactError(
            f"cannot write into {str(parent)!r}: {error.strerror}; choose another folder"
        ) from None
    try:
        yield folder
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ArtifactError(
            f"the disk of {str(parent)!r} is full; nothing was kept, free some space and try again"
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(missing)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def require_space(folder: Path, needed: int) -> None:
    """Check the free space of the disk of `folder`.

    Args:
        folder: an existing folder.
        needed: bytes.

    Raises:
        ArtifactError: there is less than `needed`.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ArtifactError(
            f"about {needed // MEGABYTE + 1} MB are needed on the disk of {str(folder.parent)!r} "
            f"and {free // MEGABYTE} MB are free; free some space or choose another folder"
        )


def sync(folder: Path) -> None:
    """Force every file and folder below `folder` to disk."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` at `target`; what was there before is gone only when `new` is in place.

    Args:
        new: a complete folder on the same disk as `target`.
        target: a path that is free, or the folder to replace.
    """
    if not target.exists():
        new.rename(target)
        return
    previous = new.with_name("previous")
    target.rename(previous)
    try:
        new.rename(target)
    except BaseException:
        previous.rename(target)
        raise
    shutil.rmtree(previous)
