"""What every data set offers, whatever it reads from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from octavo.arrays import Array, Batch, batch_size

Role: TypeAlias = Literal["calibration", "evaluation"]
"""What a data set is for; named data sets give each role samples that the other has not."""

CHUNK = 32
"""Samples a data set gives at a time when it may choose; it bounds the memory of a pass."""


@dataclass(frozen=True)
class LabelledBatch:
    """Some samples and, where they are known, their labels.

    Attributes:
        inputs: arrays by input name; axis 0 of each is the sample axis.
        labels: one entry per sample on axis 0, None for unlabelled data.
    """

    inputs: Batch
    labels: Array | None

    @property
    def samples(self) -> int:
        """The number of samples."""
        return batch_size(self.inputs)


@runtime_checkable
class Dataset(Protocol):
    """Samples that can be read many times, always in the same order."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def labelled(self) -> bool:
        """Whether its batches carry labels."""
        ...

    @property
    def size(self) -> int | None:
        """The number of samples, None where it is not known beforehand."""
        ...

    def batches(self, batch_size: int | None = None) -> Iterator[LabelledBatch]:
        """Yield all samples in order, `batch_size` at a time (None: the data set's own choice).

        A batch is smaller at the end of the data, and before a sample of another shape: samples of
        different shapes are never put into one batch.
        """
        ...

    def keys(self) -> Iterator[bytes]:
        """Yield one content hash per sample, made from its inputs only."""
        ...
