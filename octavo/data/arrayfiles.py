"""Samples in `.npz` and `.npy` files, read without pickle."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from octavo.arrays import Array
from octavo.data.base import CHUNK, LabelledBatch
from octavo.data.binding import LABEL, Binder
from octavo.errors import DataError

ARRAY_SUFFIXES = (".npz", ".npy")

_UNNAMED = "arr_0"  # what numpy.savez calls an array that was given without a name

_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    NotImplementedError,  # a compression that Python lacks
    RuntimeError,  # an encrypted archive
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ArrayFiles:
    """One or several files of samples, one file in memory at a time (`.npy`: one chunk).

    Attributes:
        name: what the user called it.
        files: `.npz` files with arrays by input name and `label`, `.npy` files for models of one
            input; axis 0 = samples.
        size: the number of samples in all files.
        binder: checks them against the model.
    """

    name: str
    files: tuple[Path, ...]
    size: int
    binder: Binder

    def chunks(self) -> Iterator[LabelledBatch]:
        """Yield the samples of each file, at most `CHUNK` at a time."""
        for file in self.files:
            yield from self.binder.split(read_arrays(file), str(file), CHUNK)


def open_array_files(name: str, path: Path, binder: Binder) -> ArrayFiles:
    """Return the samples of a file, or of all `.npz` and `.npy` files of a folder.

    Raises:
        DataError: there are none, or one of them is unreadable or truncated.
    """
    files = array_files(path) if path.is_dir() else (path,)
    if not files:
        raise DataError(f"{name}: no .npz or .npy file in this folder")
    return ArrayFiles(name, files, sum(map(count_samples, files)), binder)


def array_files(folder: Path) -> tuple[Path, ...]:
    """Return the `.npz` and `.npy` files of a folder, numbers in their names in counting order."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in ARRAY_SUFFIXES and p.is_file()]
    return tuple(sorted((p for p in found if not p.name.startswith(".")), key=_counting_order))


def read_arrays(file: Path) -> object:
    """Return what a file holds as a batch that `Binder` takes.

    The array of an `.npy` file stays on disk until it is used. An `.npz` gives arrays by name; the
    one that `numpy.savez` was given without a name is for the model's only input.

    Raises:
        DataError: the file is missing, truncated, of another format, or holds Python objects.
    """
    try:
        loaded = np.load(file, allow_pickle=False, mmap_mode="r")
        if not isinstance(loaded, NpzFile):
            return np.asarray(loaded)
        with loaded:
            return _as_batch({name: loaded[name] for name in loaded.files}, file)
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


def count_samples(file: Path) -> int:
    """Return the number of samples of a file from the header of its first array.

    Raises:
        DataError: as `read_arrays`.
    """
    try:
        if not zipfile.is_zipfile(file):
            return _length(np.load(file, allow_pickle=False, mmap_mode="r").shape)
        with zipfile.ZipFile(file) as archive:
            return max((_member_length(archive, name) for name in archive.namelist()), default=0)
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


def _member_length(archive: zipfile.ZipFile, member: str) -> int:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{member} is of version {version} of the .npy format")
        return _length(read_header(stream)[0])


def _length(shape: Sequence[int]) -> int:
    return shape[0] if shape else 1


def _as_batch(arrays: dict[str, Array], file: Path) -> object:
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError(f"{file}: {name!r} is not an array; only .npy members are read")
    if set(arrays) - {LABEL} == {_UNNAMED}:
        return arrays[_UNNAMED], arrays.get(LABEL)
    return arrays


def _unreadable(file: Path, error: BaseException) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{file}: no such file")
    # numpy advises to allow pickle for any file it does not know; that is no advice to pass on.
    reason = "another format, or Python objects" if "pickle" in str(error) else error
    return DataError(
        f"{file}: cannot be read ({reason}); it must be a whole .npz or .npy file of numbers, "
        f"as numpy.savez and numpy.save write them"
    )


def _counting_order(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts batch_2 before batch_10."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", path.name)]
