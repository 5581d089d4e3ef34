"""Real handwritten digits composed as harder scenes: labelled images that need no download.

scikit-learn carries 1,797 digits of 8x8 pixels written by people (the test part of Alpaydin and
Kaynak's "Optical Recognition of Handwritten Digits", UCI, 1998). Alone they are too easy to show
what quantization loses, so each is rotated, sheared, scaled and placed in a colour image of 64x64
pixels, at a contrast between faint and strong, on gradients, clouds, strokes and pieces of other
digits. The label is that of the one whole digit. Training, calibration and evaluation draw from
different digits, so that none is ever seen in two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from octavo.errors import UsageError, nearest

Split: TypeAlias = Literal["train", "calibration", "evaluation"]
Images: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]

SIDE = 64
"""Height and width of a scene in pixels."""
SCENE_SHAPE = (3, SIDE, SIDE)
"""Channels (red, green, blue), height and width of a scene."""
BLOCK = 64
"""Scenes are made in blocks of this fixed size, so that no batch size changes them."""

# Consecutive digits come from the same writers: contiguous parts keep most writers apart.
_SOURCES = {"train": (0, 1197), "calibration": (1197, 1437), "evaluation": (1437, 1797)}
_GLYPH = 48  # side of an enlarged digit with its empty margin
_FRAGMENTS = 2
_STROKES = 2


class _Pose(NamedTuple):
    """Where some glyphs are: each field has one entry per glyph."""

    centre: Images  # [N, 2], row and column in pixels
    size: Images  # side of the glyph's square in pixels
    angle: Images  # radians
    shear: Images


def source_indices(split: Split) -> range:
    """Return the indices, in scikit-learn's order, of the digits that `split` draws from."""
    check_request(split, 1)
    return range(*_SOURCES[split])


def scenes(split: Split, count: int, seed: int = 0) -> tuple[Images, Labels]:
    """Compose scenes; a smaller `count` gives the first of the same scenes.

    Args:
        split: selects the digits used; the three splits share none.
        count: how many scenes.
        seed: another seed gives other scenes of the same digits.

    Returns:
        Images, float32 `[count, 3, 64, 64]` in 0..1, and labels 0..9, int64 `[count]`.

    Raises:
        UsageError: `split` is unknown or `count` is less than 1.
    """
    blocks = list(scene_blocks(split, count, seed))
    images, labels = zip(*blocks, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def scene_blocks(split: Split, count: int, seed: int = 0) -> Iterator[tuple[Images, Labels]]:
    """Yield what `scenes` returns, at most `BLOCK` at a time, each block made when needed."""
    for images, labels, _ in covered_blocks(split, count, seed):
        yield images, labels


def covered_blocks(
    split: Split, count: int, seed: int = 0
) -> Iterator[tuple[Images, Labels, Images]]:
    """Yield what `scene_blocks` does, and the share of each pixel that the labelled digit covers.

    That share is float32 `[count, 64, 64]`: what a network that segments is trained and judged on.
    """
    check_request(split, count)
    part = get_args(Split).index(split)
    for block in range(-(-count // BLOCK)):
        random = np.random.default_rng([seed, part, block])
        images, labels, coverage = _compose(split, random)
        left = count - block * BLOCK
        yield images[:left], labels[:left], coverage[:left]


def check_request(split: Split, count: int) -> None:
    """Raise `UsageError` unless `split` is known and `count` is at least 1."""
    if split not in _SOURCES:
        known = ", ".join(_SOURCES)
        raise UsageError(f"digits: there is no split {split!r}{nearest(split, _SOURCES)} ({known})")
    if count < 1:
        raise UsageError(f"digits: {count} scenes were asked for; ask for at least 1")


@cache
def _glyphs(split: Split) -> tuple[Images, Labels]:
    """Return the split's digits enlarged and stacked in one tall image, and their labels."""
    from sklearn.datasets import load_digits  # takes a second to import

    part = slice(*_SOURCES[split])
    digits, labels = load_digits(return_X_y=True)
    small = np.pad(digits[part].reshape(-1, 8, 8) / 16.0, ((0, 0), (2, 2), (2, 2)))
    large = ndimage.zoom(small, (1, 4, 4), order=3, grid_mode=True, mode="nearest")
    crisp = np.clip(2.0 * large - 0.4, 0.0, 1.0).astype(np.float32)
    return crisp.reshape(-1, _GLYPH), labels[part].astype(np.int64)


def _compose(split: Split, random: Generator) -> tuple[Images, Labels, Images]:
    """Return one block of scenes, painted from the back to the front, and their digits' cover."""
    glyphs, labels = _glyphs(split)
    canvas = _background(random)
    for _ in range(_STROKES):
        _paint(canvas, _stroke(random), _contrasting(canvas, _uniform(random, 0.05, 0.4), random))
    for _ in range(_FRAGMENTS):
        fragment = _fragment(glyphs, random.integers(len(labels), size=BLOCK), random)
        _paint(canvas, fragment, _contrasting(canvas, _uniform(random, 0.05, 0.5), random))
    chosen = random.integers(len(labels), size=BLOCK)
    contrast = np.exp(_uniform(random, np.log(0.06), np.log(0.9)))
    colour = _contrasting(canvas, contrast, random)
    coverage = _render(glyphs, chosen, _target_pose(random))
    _paint(canvas, coverage, colour)
    noise = random.standard_normal(canvas.shape, dtype=np.float32)
    canvas += noise * _uniform(random, 0.005, 0.04)[:, None, None, None]
    return np.clip(canvas, 0.0, 1.0, out=canvas), labels[chosen], coverage


def _uniform(random: Generator, low: float, high: float, *shape: int) -> Images:
    return random.uniform(low, high, (BLOCK, *shape)).astype(np.float32)


def _background(random: Generator) -> Images:
    """Return a linear gradient between two colours with coloured clouds on it, `[N, 3, H, W]`."""
    first, second = _uniform(random, 0.1, 0.9, 3, 1, 1), _uniform(random, -0.25, 0.25, 3, 1, 1)
    ramp = _projection(_uniform(random, 0, SIDE, 2), _uniform(random, 0, 2 * np.pi)) / SIDE
    coarse = random.standard_normal((BLOCK, 3, 6, 6), dtype=np.float32)
    to_pixels = ndimage.zoom(np.eye(6, dtype=np.float32), (SIDE / 6, 1), order=1)
    clouds = to_pixels @ coarse @ to_pixels.T
    strength = _uniform(random, 0.0, 0.12, 1, 1, 1)
    canvas: Images = first + second * ramp[:, None] + strength * clouds
    return canvas


def _projection(origin: Images, angle: Images) -> Images:
    """Return each pixel's signed distance in pixels from a line through `origin`, `[N, H, W]`."""
    rows, columns = np.indices((SIDE, SIDE), dtype=np.float32)
    down, right = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    from_row, from_column = origin[:, 0, None, None], origin[:, 1, None, None]
    distance: Images = (rows - from_row) * down + (columns - from_column) * right
    return distance


def _stroke(random: Generator) -> Images:
    """Return the coverage 0..1 of one straight stroke in each scene, `[N, H, W]`."""
    origin, angle = _uniform(random, 0, SIDE, 2), _uniform(random, 0, np.pi)
    along, across = _projection(origin, angle + np.pi / 2), _projection(origin, angle)
    beyond_end = np.abs(along) - _uniform(random, 6, 24, 1, 1)
    beyond_edge = np.abs(across) - _uniform(random, 0.5, 2.5, 1, 1)
    coverage: Images = np.clip(0.5 - np.maximum(beyond_end, beyond_edge), 0.0, 1.0)
    return coverage


def _target_pose(random: Generator) -> _Pose:
    """Draw where the labelled digits stand: whole, upright within 30 degrees."""
    size: Images = _uniform(random, 0.55, 1.0) * SIDE
    room: Images = 0.5 * (SIDE - 0.7 * size)  # the ink fills about 0.7 of the glyph's square
    centre: Images = 0.5 * SIDE + _uniform(random, -1.0, 1.0, 2) * room[:, None]
    return _Pose(centre, size, _uniform(random, -0.5, 0.5), _uniform(random, -0.3, 0.3))


def _fragment(glyphs: Images, chosen: Labels, random: Generator) -> Images:
    """Return the coverage of digits cut in half by a line through their centre, `[N, H, W]`."""
    centre, size = _uniform(random, 0, SIDE, 2), _uniform(random, 0.3, 0.6) * SIDE
    pose = _Pose(centre, size, _uniform(random, -3.0, 3.0), _uniform(random, -0.3, 0.3))
    kept = np.clip(_projection(centre, _uniform(random, 0, 2 * np.pi)), 0.0, 1.0)
    return kept * _render(glyphs, chosen, pose)


def _render(glyphs: Images, chosen: Labels, pose: _Pose) -> Images:
    """Return the coverage 0..1 of glyph `chosen[n]` in scene `n`, `[N, H, W]`."""
    across = _projection(pose.centre, pose.angle)
    down = _projection(pose.centre, pose.angle + np.float32(np.pi / 2))
    scale = (_GLYPH / pose.size)[:, None, None]
    rows = down * scale + (_GLYPH - 1) / 2
    columns = (across + pose.shear[:, None, None] * down) * scale + (_GLYPH - 1) / 2
    inside = np.clip(rows, 0, _GLYPH - 1) + (chosen * _GLYPH)[:, None, None]
    at = np.stack((inside, columns))
    return np.asarray(ndimage.map_coordinates(glyphs, at, order=1, output=np.float32))


def _contrasting(canvas: Images, contrast: Images, random: Generator) -> Images:
    """Return colours that differ from each scene's mean colour by `contrast`, `[N, 3, 1, 1]`."""
    mean = canvas.mean(axis=(2, 3))
    lighter = random.random((BLOCK, 1)) < np.clip(1.5 - 2.0 * mean.mean(1, keepdims=True), 0, 1)
    tint = _uniform(random, 0.6, 1.4, 3)
    step = np.where(lighter, 1.0, -1.0) * contrast[:, None] * tint
    colour: Images = np.clip(mean + step, 0.0, 1.0).astype(np.float32)
    return colour[:, :, None, None]


def _paint(canvas: Images, coverage: Images, colour: Images) -> None:
    """Blend `colour` into `canvas`, in place, where `coverage` is not 0."""
    canvas += coverage[:, None] * (colour - canvas)
