"""Cutting batches and putting them together again, and one hash per sample."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

from octavo.arrays import IntArray
from octavo.data.base import LabelledBatch


def cut(batch: LabelledBatch, start: int, stop: int) -> LabelledBatch:
    """Return samples `start` to `stop` as views; arrays without axes belong to every sample."""
    inputs = {name: a[start:stop] if a.ndim else a for name, a in batch.inputs.items()}
    labels = None if batch.labels is None else batch.labels[start:stop]
    return LabelledBatch(inputs, labels)


def first_samples(batches: Iterable[LabelledBatch], limit: int | None) -> Iterator[LabelledBatch]:
    """Yield batches until `limit` samples were given; None gives all of them."""
    left = limit
    for batch in batches:
        if left is None:
            yield batch
        elif batch.samples < left:
            yield batch
            left -= batch.samples
        else:
            yield cut(batch, 0, left)
            return


def rows_at(batches: Iterable[LabelledBatch], indices: IntArray) -> Iterator[LabelledBatch]:
    """Yield the samples of some indices, and stop reading after the last one.

    Args:
        batches: all samples.
        indices: counted over all batches, int64 `[n]`, ascending.
    """
    first = 0
    for batch in batches:
        if first > (indices[-1] if len(indices) else -1):
            return
        low, high = np.searchsorted(indices, [first, first + batch.samples])
        rows = indices[low:high] - first
        first += batch.samples
        if len(rows) == batch.samples:
            yield batch
        elif len(rows):
            inputs = {name: a[rows] if a.ndim else a for name, a in batch.inputs.items()}
            yield LabelledBatch(inputs, None if batch.labels is None else batch.labels[rows])


def rebatched(batches: Iterable[LabelledBatch], size: int) -> Iterator[LabelledBatch]:
    """Yield the same samples in the same order, `size` at a time.

    Samples of different trailing shapes (sequence lengths, say) are never put together: a batch
    ends where the shape changes, and is then smaller than `size`.
    """
    held: list[LabelledBatch] = []
    count = 0
    for batch in batches:
        if held and _form(batch) != _form(held[0]):
            yield joined(held)
            held, count = [], 0
        start = 0
        while start < batch.samples:
            held.append(cut(batch, start, start + size - count))
            start, count = start + held[-1].samples, count + held[-1].samples
            if count == size:
                yield joined(held)
                held, count = [], 0
    if held:
        yield joined(held)


def joined(batches: Sequence[LabelledBatch]) -> LabelledBatch:
    """Return batches of equal trailing shapes as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    inputs = {
        name: np.concatenate([b.inputs[name] for b in batches]) if array.ndim else array
        for name, array in first.inputs.items()
    }
    labels = [batch.labels for batch in batches if batch.labels is not None]
    return LabelledBatch(inputs, np.concatenate(labels) if labels else None)


def sample_keys(batch: LabelledBatch) -> Iterator[bytes]:
    """Yield a 16-byte BLAKE2b hash of every sample's inputs: names, dtypes, shapes and values."""
    for index in range(batch.samples):
        digest = hashlib.blake2b(digest_size=16)
        for name in sorted(batch.inputs):
            array = batch.inputs[name]
            sample = array[index] if array.ndim else array
            digest.update(f"{name}:{sample.dtype.str}:{sample.shape};".encode())
            digest.update(sample.tobytes())
        yield digest.digest()


def _form(batch: LabelledBatch) -> Hashable:
    """What two batches must have in common to be put together."""
    forms = tuple(
        (name, array.shape[1:] if array.ndim else array.tobytes())
        for name, array in sorted(batch.inputs.items())
    )
    return forms, None if batch.labels is None else batch.labels.shape[1:]
