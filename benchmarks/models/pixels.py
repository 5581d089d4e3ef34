"""Scenes with a class for each pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from octavo.data.scenes import Images, Labels, Split, covered_blocks

BACKGROUND = 0
"""The class of a pixel of which less than half is covered; a digit has its value and 1."""


def pixel_blocks(split: Split, count: int, seed: int = 0) -> Iterator[tuple[Images, Labels]]:
    """Yield the scenes of `scene_blocks`, and the class of each pixel, int64 `[N, 64, 64]`."""
    for images, labels, coverage in covered_blocks(split, count, seed):
        yield images, np.where(coverage >= 0.5, labels[:, None, None] + 1, BACKGROUND)


def pixel_scenes(split: Split, count: int, seed: int = 0) -> tuple[Images, Labels]:
    """Return what `pixel_blocks` yields, joined."""
    images, classes = zip(*pixel_blocks(split, count, seed), strict=True)
    return np.concatenate(images), np.concatenate(classes)
