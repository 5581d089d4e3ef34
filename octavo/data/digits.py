"""The data set `digits`: composed scenes of handwritten digits, made while they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from octavo.data.base import CHUNK, LabelledBatch, Role
from octavo.data.batching import rebatched, sample_keys
from octavo.data.scenes import SCENE_SHAPE, SIDE, Split, check_request, scene_blocks, scenes
from octavo.errors import DataError, UsageError
from octavo.model import TensorSpec

__all__ = ["DEFAULT_COUNTS", "DigitScenes", "open_digits", "scenes"]

DEFAULT_COUNTS = {"train": 6000, "calibration": 300, "evaluation": 4000}
"""Scenes of the specification `digits`, by split."""


@dataclass(frozen=True)
class DigitScenes:
    """Composed digits as a data set; see `octavo.data.base.Dataset`.

    Attributes:
        input: the model's input, float32 `[N, 3, 64, 64]`; values are in 0..1.
        split: selects the digits the scenes are made of.
        size: the number of scenes.
        name: what the user called it.
        seed: another seed gives other scenes of the same digits.

    Raises:
        DataError: the scenes do not fit `input`.
        UsageError: `split` is unknown or `size` is less than 1.
    """

    input: TensorSpec
    split: Split
    size: int
    name: str = "digits"
    seed: int = 0

    def __post_init__(self) -> None:
        check_request(self.split, self.size)
        sizes = self.input.shape
        fits = len(sizes) == 4 and all(
            not isinstance(size, int) or size == own
            for size, own in zip(sizes[1:], SCENE_SHAPE, strict=True)
        )
        if not fits or self.input.dtype != "float32":
            raise DataError(
                f"{self.name}: the scenes are float32 [N, 3, {SIDE}, {SIDE}] and do not fit the "
                f"model's input {self.input}; give data made for this model"
            )

    @property
    def labelled(self) -> bool:
        """True: every scene has its digit as the label."""
        return True

    def batches(self, batch_size: int | None = None) -> Iterator[LabelledBatch]:
        """Yield all scenes in order, `batch_size` at a time (None: 32), each made when needed.

        Raises:
            UsageError: `batch_size` is less than 1.
        """
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"a batch size of {batch_size} was asked for; it must be at least 1")
        blocks = scene_blocks(self.split, self.size, self.seed)
        named = (LabelledBatch({self.input.name: images}, labels) for images, labels in blocks)
        return rebatched(named, CHUNK if batch_size is None else batch_size)

    def keys(self) -> Iterator[bytes]:
        """Yield one content hash per scene."""
        return chain.from_iterable(map(sample_keys, self.batches()))


def open_digits(specification: str, inputs: Sequence[TensorSpec], role: Role) -> DigitScenes:
    """Return the data set that `digits` or `digits:COUNT` names.

    Args:
        specification: without a count, 300 scenes to calibrate and 4,000 to evaluate.
        inputs: what the model reads: one image.
        role: what the scenes are for; the two roles share no digit.

    Raises:
        UsageError: the specification is none of the two forms.
        DataError: the scenes do not fit the model.
    """
    kind, colon, number = specification.partition(":")
    if kind != "digits" or (colon and not number.isdecimal()):
        raise UsageError(f"{specification!r}: write digits or digits:COUNT, for example digits:300")
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in inputs)
        raise DataError(
            f"{specification}: the scenes are for models of one input, and this one has "
            f"{len(inputs)} ({names}); give data made for this model"
        )
    size = int(number) if colon else DEFAULT_COUNTS[role]
    return DigitScenes(inputs[0], role, size, specification)
