"""What the networks here are to read from a scene: labels made for the composed digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

from octavo.data.scenes import Images, Labels, Split, covered_blocks, scene_blocks

BACKGROUND = 0
"""The class of a pixel of which less than half is covered; a digit has its value and 1."""

Blocks = Iterator[tuple[Images, Labels]]


def pixel_blocks(split: Split, count: int, seed: int = 0) -> Blocks:
    """Yield the scenes of `scene_blocks`, and the class of each pixel, int64 `[N, 64, 64]`."""
    for images, labels, coverage in covered_blocks(split, count, seed):
        yield images, np.where(coverage >= 0.5, labels[:, None, None] + 1, BACKGROUND)


def quarter_blocks(split: Split, count: int, seed: int = 0) -> Blocks:
    """Yield the scenes, and which quarter of each is the brightest, int64 `[N]`, by rows."""
    for images, _ in scene_blocks(split, count, seed):
        half = images.shape[2] // 2
        parts = images.reshape(len(images), 3, 2, half, 2, half).mean(axis=(1, 3, 5))
        yield images, parts.reshape(len(images), 4).argmax(axis=1)


TASKS: Mapping[str, Callable[[Split, int, int], Blocks]] = MappingProxyType(
    {"digit": scene_blocks, "pixels": pixel_blocks, "quarter": quarter_blocks}
)


def labelled(task: str, split: Split, count: int, seed: int = 0) -> tuple[Images, Labels]:
    """Return scenes and their labels for one of `TASKS`."""
    images, labels = zip(*TASKS[task](split, count, seed), strict=True)
    return np.concatenate(images), np.concatenate(labels)
