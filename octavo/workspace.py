"""Folders that appear whole or not at all: temporary places, disk space, replacement by rename."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from octavo.errors import ArtifactError

MEGABYTE = 1 << 20
_HERE = -100  # AT_FDCWD: paths are taken from the current folder
_RENAME_EXCHANGE = 2  # renameat2(2)


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
    """Put the folder `new` at `target`; whatever happens, `target` is the old or the new one.

    Args:
        new: a complete folder on the same disk as `target`; where there was an old one, that is
            what `new` names afterwards, or it is gone.
        target: a path that is free, or the folder to replace.
    """
    if not target.exists():
        new.rename(target)
    elif not exchange(new, target):
        _replace_in_two_steps(new, target)


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, and return whether the kernel and the file system can."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # no glibc of 2018 or later
        return False
    swapped: int = swap(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE)
    return swapped == 0


def _replace_in_two_steps(new: Path, target: Path) -> None:
    previous = new.with_name("previous")
    try:
        target.rename(previous)
        new.rename(target)
    except BaseException:
        if previous.exists() and not target.exists():
            previous.rename(target)
        raise
    shutil.rmtree(previous, ignore_errors=True)
