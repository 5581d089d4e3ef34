"""The one data set class; what it reads from is a `Source`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

from octavo.arrays import IntArray
from octavo.data.base import Dataset, LabelledBatch
from octavo.data.batching import first_samples, rebatched, rows_at, sample_keys
from octavo.errors import DataError, UsageError


class Source(Protocol):
    """Where samples come from; each pass gives the same ones in the same order."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def size(self) -> int | None:
        """The number of samples, None where counting them would mean reading them."""
        ...

    def chunks(self) -> Iterator[LabelledBatch]:
        """Yield batches that fit the model, of a size that suits the source."""
        ...


@runtime_checkable
class RandomAccess(Source, Protocol):
    """A source whose samples can be read one by one."""

    def only(self, indices: IntArray) -> Source:
        """Return the same source with some of its samples.

        Args:
            indices: int64 `[n]`, in the order in which to give them.
        """
        ...


@dataclass(frozen=True)
class CheckedDataset:
    """The samples of a source; see `octavo.data.base.Dataset`.

    Attributes:
        source: where they come from.
        labelled: whether every batch carries labels.
        limit: only the first `limit` samples are used, None for all.
        files: the file of each sample where samples are files, else empty.
    """

    source: Source
    labelled: bool
    limit: int | None = None
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.source.name

    @property
    def size(self) -> int | None:
        """The number of samples, None where counting them would mean reading them."""
        size = self.source.size
        return size if size is None or self.limit is None else min(size, self.limit)

    def batches(self, batch_size: int | None = None) -> Iterator[LabelledBatch]:
        """Yield all samples in order, `batch_size` at a time (None: as the source gives them).

        Raises:
            UsageError: `batch_size` is less than 1.
            DataError: a sample cannot be read or does not fit the model.
        """
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"a batch size of {batch_size} was asked for; it must be at least 1")
        batches = self._batches()
        return batches if batch_size is None else rebatched(batches, batch_size)

    def keys(self) -> Iterator[bytes]:
        """Yield one content hash per sample: of its file if it has one, else of its inputs."""
        return map(_file_key, self.files[: self.limit]) if self.files else _input_keys(self)

    def _batches(self) -> Iterator[LabelledBatch]:
        for batch in first_samples(_not_empty(self.source), self.limit):
            if (batch.labels is not None) != self.labelled:
                raise DataError(
                    f"{self.name}: some batches have labels and others have none; give all or none"
                )
            yield batch


def checked(
    source: Source, limit: int | None = None, files: tuple[Path, ...] = ()
) -> CheckedDataset:
    """Return the data set of `source` after reading its first batch.

    Raises:
        DataError: there is no sample, or the first ones do not fit the model.
        UsageError: `limit` is less than 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"{source.name}: {limit} samples were asked for; ask for at least 1")
    first = next(_not_empty(source), None)
    if first is None:
        raise DataError(f"{source.name}: the data set is empty; at least 1 sample is needed")
    return CheckedDataset(source, first.labels is not None, limit, files)


def pick(dataset: Dataset, indices: IntArray, batch_size: int) -> Iterator[LabelledBatch]:
    """Yield some samples only, at most `batch_size` at a time as `Dataset.batches` gives them.

    Pictures that are not wanted are not read; other data are read up to the last sample.

    Args:
        dataset: the data.
        indices: counted from 0 in the order of the data, int64 `[n]`, ascending.
        batch_size: samples of a batch.
    """
    source = dataset.source if isinstance(dataset, CheckedDataset) else None
    if isinstance(source, RandomAccess):
        return rebatched(source.only(indices).chunks(), batch_size)
    return rebatched(rows_at(dataset.batches(), indices), batch_size)


def overlap(calibration: Dataset, evaluation: Dataset) -> int:
    """Return how many samples of `evaluation` are in `calibration` too, by content.

    Two image folders are compared by the bytes of their files, so that an image is found under
    another name and whatever the preprocessing. All else is compared by the inputs the model gets.
    """
    if _by_file(calibration) == _by_file(evaluation):
        known, others = set(calibration.keys()), evaluation.keys()
    else:
        known, others = set(_input_keys(calibration)), _input_keys(evaluation)
    return sum(key in known for key in others)


def digest(dataset: Dataset) -> str:
    """Return the SHA-256 of all samples and labels; pictures count by the bytes of their files."""
    total = hashlib.sha256()
    if _by_file(dataset) and isinstance(dataset, CheckedDataset):
        total.update(b"".join(dataset.keys()))
        total.update(repr(getattr(dataset.source, "labels", ())).encode())
        return total.hexdigest()
    for batch in dataset.batches():
        for key in sample_keys(batch):
            total.update(key)
        if batch.labels is not None:
            total.update(f"{batch.labels.dtype.str}{batch.labels.shape[1:]}".encode())
            total.update(batch.labels.tobytes())
    return total.hexdigest()


def _not_empty(source: Source) -> Iterator[LabelledBatch]:
    return (batch for batch in source.chunks() if batch.samples)


def _by_file(dataset: Dataset) -> bool:
    return isinstance(dataset, CheckedDataset) and bool(dataset.files)


def _input_keys(dataset: Dataset) -> Iterator[bytes]:
    return chain.from_iterable(map(sample_keys, dataset.batches()))


def _file_key(file: Path) -> bytes:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).digest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
