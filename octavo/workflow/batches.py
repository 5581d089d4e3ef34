"""Batches of the size a model can take: a fixed batch dimension is filled up and cut again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from octavo.arrays import Array, Batch, batch_size
from octavo.backends.base import Session
from octavo.data.base import Dataset, LabelledBatch
from octavo.model import TensorSpec


def fixed_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """Return the batch size that the inputs declare, None where it is free."""
    sizes = [spec.shape[0] for spec in inputs if spec.shape]
    return next((size for size in sizes if isinstance(size, int)), None)


def sized(batch: Batch, size: int) -> dict[str, Array]:
    """Return the first `size` samples of `batch`, which are repeated where it has fewer."""
    order = np.arange(size) % batch_size(batch)
    return {name: array[order] if array.ndim else array for name, array in batch.items()}


def full_batches(dataset: Dataset, size: int, fixed: int | None) -> Iterator[LabelledBatch]:
    """Yield a data set's batches; the last one is filled up where the model's batch is fixed."""
    for batch in dataset.batches(fixed or size):
        missing = fixed is not None and batch.samples < fixed
        yield LabelledBatch(sized(batch.inputs, fixed), None) if missing and fixed else batch


class FullBatchSession:
    """A session that takes fewer samples than the model's fixed batch size."""

    def __init__(self, session: Session, fixed: int | None) -> None:
        self._session = session
        self._fixed = fixed

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run a batch of at most the fixed size and return the outputs of its samples."""
        samples = batch_size(batch)
        if self._fixed is None or samples >= self._fixed:
            return self._session.run(batch)
        outputs = self._session.run(sized(batch, self._fixed))
        return {
            name: array[:samples] if array.ndim and len(array) == self._fixed else array
            for name, array in outputs.items()
        }
