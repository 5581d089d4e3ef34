"""Batches from Python: kept so that they can be read many times in the same order."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from octavo.data.base import LabelledBatch
from octavo.data.batching import first_samples
from octavo.data.binding import Binder
from octavo.errors import DataError, OctavoError

MEMORY_LIMIT = 256 * 2**20
"""Bytes of a recording that stay in memory; the rest is written to a temporary folder."""


class TemporaryFolder:
    """A folder that lives as long as this object, and no longer than the process.

    Attributes:
        path: where it is.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="octavo-data-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Recording:
    """Batches of an iterable that was read once.

    Attributes:
        name: what the user called it.
        size: the number of samples.
        names: the inputs of a batch, in the order of its file.
        kept: the batches, in order; a path is that of the `.npz` file a batch is in.
        folder: the temporary folder of the files, removed together with this object.
    """

    name: str
    size: int
    names: tuple[str, ...]
    kept: tuple[LabelledBatch | Path, ...]
    folder: TemporaryFolder | None = None

    def chunks(self) -> Iterator[LabelledBatch]:
        """Yield the batches as they were given."""
        for batch in self.kept:
            yield self._restored(batch) if isinstance(batch, Path) else batch

    def _restored(self, path: Path) -> LabelledBatch:
        with np.load(path, allow_pickle=False) as arrays:
            inputs = {name: arrays[f"arr_{index}"] for index, name in enumerate(self.names)}
            return LabelledBatch(inputs, arrays.get(f"arr_{len(self.names)}"))


def record(
    items: Iterable[object],
    binder: Binder,
    name: str,
    limit: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Recording:
    """Read an iterable once and keep its first `limit` samples.

    It is never read again, since a loader that shuffles gives another order on each pass. The
    arrays of a list or tuple are kept as they are; those of anything else are copied, since loaders
    reuse their buffers.

    Args:
        items: batches as `Binder.bind` takes them.
        binder: checks them against the model.
        name: what to call the data in errors.
        limit: reading stops after so many samples (an endless iterable needs it), None for all.
        memory_limit: bytes to keep in memory; later batches are written to a temporary folder.

    Raises:
        DataError: a batch does not fit the model, the iterable fails, or the disk is full.
    """
    owned = isinstance(items, list | tuple)
    kept: list[LabelledBatch | Path] = []
    folder: TemporaryFolder | None = None
    samples = memory = 0
    for batch in first_samples(_bound(items, binder, name), limit):
        samples += batch.samples
        memory += 0 if owned else _bytes(batch)
        if memory <= memory_limit:
            kept.append(batch if owned else _copied(batch))
            continue
        try:
            folder = folder or TemporaryFolder()
            kept.append(_spooled(batch, folder.path / f"{len(kept)}.npz"))
        except OSError as error:
            raise _no_space(name, error) from error
    names = tuple(spec.name for spec in binder.inputs)
    return Recording(name, samples, names, tuple(kept), folder)


def guarded(give: Callable[[], Iterable[object]], name: str) -> Iterator[object]:
    """Yield what `give()` gives; the failures of this foreign code become a `DataError`."""
    try:
        yield from give()
    except OctavoError:
        raise
    except Exception as error:
        raise DataError(f"{name}: giving data failed: {type(error).__name__}: {error}") from error


def _bound(items: Iterable[object], binder: Binder, name: str) -> Iterator[LabelledBatch]:
    for index, item in enumerate(guarded(lambda: items, name)):
        yield binder.bind(item, f"{name}, batch {index}")


def _bytes(batch: LabelledBatch) -> int:
    labels = 0 if batch.labels is None else batch.labels.nbytes
    return labels + sum(array.nbytes for array in batch.inputs.values())


def _copied(batch: LabelledBatch) -> LabelledBatch:
    inputs = {name: array.copy() for name, array in batch.inputs.items()}
    return LabelledBatch(inputs, None if batch.labels is None else batch.labels.copy())


def _spooled(batch: LabelledBatch, path: Path) -> Path:
    """Write a batch as `Recording.chunks` reads it: by position, as names may not be keywords."""
    labels = () if batch.labels is None else (batch.labels,)
    np.savez(path, *batch.inputs.values(), *labels)
    return path


def _no_space(name: str, error: OSError) -> DataError:
    return DataError(
        f"{name}: too large for memory, and it cannot be written to a temporary folder "
        f"({error.strerror}); give fewer samples, or set TMPDIR to a folder with more space"
    )
