"""The journal file: one JSON object a line; who may write it, and what a killed writer leaves.

A process that is killed while it writes leaves half a line. The next writer would make one
unreadable line of it and its own, so the half is cut off before. The right to write is a lock of
the kernel on the file (flock), which a killed process cannot leave behind.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

from octavo.errors import UsageError

NAME = "study.journal"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class DamagedJournalError(UsageError):
    """A line in the middle of a journal cannot be read."""


def own(path: Path) -> int:
    """Open a journal, which is created if it is missing, for this process alone.

    A file system without locks gives none; there, two runs at once are not noticed.

    Returns:
        a file descriptor; closing it, or the end of the process, gives the journal free.

    Raises:
        UsageError: another run has it.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(descriptor, path)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was set aside in the meantime


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"the study {str(path)!r} is in use by another run; wait for its end, or choose "
            "another output folder"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def whole(path: Path) -> int:
    """Return how many bytes of a journal are whole lines, 0 where there is none."""
    return path.read_bytes().rfind(b"\n") + 1 if path.is_file() else 0


def repair(path: Path) -> int:
    """Cut what a killed writer left at the end of a journal, keeping every whole line.

    Args:
        path: a journal that this process owns.

    Returns:
        the number of bytes that were cut.

    Raises:
        DamagedJournalError: a line cannot be read and others that can follow it.
    """
    content = path.read_bytes()
    good, bad = 0, 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        if not _is_whole(line):
            bad = bad or number
        elif bad:
            raise DamagedJournalError(
                f"line {bad} of {str(path)!r} cannot be read; leave --resume out to begin anew, "
                "the damaged file is kept"
            )
        else:
            good += len(line)
    kept = content[:good]
    if good == len(content) and (not kept or kept.endswith(b"\n")):
        return 0
    with path.open("r+b") as stream:
        stream.truncate(good)
        if kept and not kept.endswith(b"\n"):
            stream.seek(good)
            stream.write(b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    return len(content) - good


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def set_aside(path: Path) -> Path:
    """Give a damaged journal the first free name beside it, and return that."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside
