"""Folders of images, decoded when they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from octavo.arrays import IntArray
from octavo.data.base import CHUNK, LabelledBatch
from octavo.data.binding import Binder
from octavo.data.preprocess import ImageReader
from octavo.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Those of torchvision's ImageFolder."""


@dataclass(frozen=True)
class ImageFolder:
    """Pictures of a folder, at most `CHUNK` of them in memory.

    Attributes:
        name: what the user called it.
        files: the pictures, in order.
        labels: the class of each; empty where there are no classes.
        classes: names of the classes; a label is an index into them.
        reader: how a picture is read.
        binder: checks what was read against the model.
    """

    name: str
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    reader: ImageReader
    binder: Binder

    @property
    def size(self) -> int:
        """The number of pictures."""
        return len(self.files)

    def chunks(self) -> Iterator[LabelledBatch]:
        """Yield the pictures and their classes (int64)."""
        for start in range(0, self.size, CHUNK):
            files = self.files[start : start + CHUNK]
            pixels = np.concatenate([self.reader.read(file) for file in files])
            labels = np.array(self.labels[start : start + CHUNK], np.int64) if self.labels else None
            yield self.binder.bind((pixels, labels), self.name)

    def only(self, indices: IntArray) -> ImageFolder:
        """Return the folder with some of its pictures."""
        labels = tuple(self.labels[index] for index in indices) if self.labels else ()
        return replace(self, files=tuple(self.files[index] for index in indices), labels=labels)


def open_image_folder(
    name: str, folder: Path, reader: ImageReader, binder: Binder, limit: int | None = None
) -> ImageFolder:
    """Find the pictures of a folder and its sub-folders.

    Sub-folders are classes, numbered in the order of their sorted names as torchvision's
    ImageFolder does (hidden ones are left out, empty ones are counted). The pictures of the classes
    take turns, so that the first pictures are of all classes. Without sub-folders there are no
    labels.

    Raises:
        DataError: there is no picture, or there are some both beside and in sub-folders.
    """
    classes = tuple(sorted(p.name for p in _visible(folder) if p.is_dir()))
    beside = sorted(p for p in _visible(folder) if _is_image(p))
    nested = [sorted(_images_below(folder / name)) for name in classes]
    if beside and any(nested):
        raise DataError(
            f"{name}: images both in the folder and in sub-folders; {beside[0].name!r} has no "
            f"class: move it into a sub-folder, or all images into one folder without classes"
        )
    if not beside and not any(nested):
        raise DataError(f"{name}: no images in {folder} (looked for {', '.join(IMAGE_SUFFIXES)})")
    if beside:
        return ImageFolder(name, tuple(beside)[:limit], (), (), reader, binder)
    turns = sorted(
        (turn, label, file) for label, files in enumerate(nested) for turn, file in enumerate(files)
    )[:limit]
    files, labels = tuple(turn[2] for turn in turns), tuple(turn[1] for turn in turns)
    return ImageFolder(name, files, labels, classes, reader, binder)


def has_images(folder: Path) -> bool:
    """Return whether there is a picture in a folder or below it."""
    return any(True for _ in _images_below(folder))


def _images_below(folder: Path) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_dir():
            yield from _images_below(path)
        elif _is_image(path):
            yield path


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
