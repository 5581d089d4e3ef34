"""Outputs of the float model, remembered so that it need not run again for every plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from octavo.arrays import Array, Batch, IntArray
from octavo.backends.base import Session
from octavo.errors import DataError, UnequalSizesError

REMEMBERED_BYTES = 256 << 20


class ReferenceOutputs:
    """What the float model gives for each sample: up to 256 MB remembered, beyond computed again.

    Attributes:
        by_sample: whether axis 0 of every output so far is that of the samples, so that those of
            single samples can be told apart.
    """

    def __init__(self, session: Session) -> None:
        """Begin with nothing.

        Args:
            session: runs the float model.
        """
        self._session: Session | None = session
        self._starts: list[int] = []
        self._kept: list[Mapping[str, Array] | None] = []  # None: computed again
        self._samples = 0
        self._room = REMEMBERED_BYTES
        self.by_sample = True

    def add(self, outputs: Mapping[str, Array], samples: int) -> None:
        """Take the outputs of the next samples, in the order of the data."""
        rows = all(array.ndim and len(array) == samples for array in outputs.values())
        self.by_sample = self.by_sample and rows
        size = sum(array.nbytes for array in outputs.values())
        fits = size <= self._room
        self._starts.append(self._samples)
        self._kept.append(outputs if fits else None)
        self._room -= size if fits else 0
        self._samples += samples

    def end(self) -> None:
        """Let the session go where all is remembered, as one can hold gigabytes."""
        if all(one is not None for one in self._kept):
            self._session = None

    def release(self) -> None:
        """Let the session go, where nothing is compared with outputs."""
        self._session = None

    def of(self, indices: IntArray, inputs: Batch) -> Mapping[str, Array]:
        """Return the outputs of some samples.

        Args:
            indices: of the samples in the order of the data, int64 `[n]`, ascending.
            inputs: of these samples, `[n]`, for outputs that are not remembered.

        Raises:
            DataError: there were not so many samples before.
            UnequalSizesError: outputs of these samples differ in size.
        """
        if indices[-1] >= self._samples:
            raise DataError(
                "the evaluation data gave more samples than before; expected the same every time"
            )
        places = np.searchsorted(self._starts, indices, side="right") - 1
        kept = [one for place in np.unique(places) if (one := self._kept[place]) is not None]
        if len(kept) < len(np.unique(places)):
            assert self._session is not None
            return self._session.run(inputs)
        if len(kept) == 1 and len(indices) == self._count(int(places[0])):
            whole: Mapping[str, Array] = kept[0]
            return whole
        rows = indices - np.asarray(self._starts)[places]
        samples = list(zip(np.unique(places, return_inverse=True)[1], rows, strict=True))
        return {
            name: _stacked(name, [kept[part][name][row] for part, row in samples])
            for name in kept[0]
        }

    def _count(self, place: int) -> int:
        ends = [*self._starts[1:], self._samples]
        return ends[place] - self._starts[place]


def _stacked(name: str, rows: list[Array]) -> Array:
    if len({row.shape for row in rows}) > 1:
        raise UnequalSizesError(f"output {name!r} of the FP32 model differs in size by sample")
    return np.stack(rows)
