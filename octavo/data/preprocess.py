"""How a picture becomes the numbers a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from octavo.arrays import Array
from octavo.errors import DataError, UsageError
from octavo.model import Dimension, TensorSpec

Layout: TypeAlias = Literal["NCHW", "NHWC"]
Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing of images; `dataclasses.asdict` makes it JSON, the keywords read it back.

    A picture is turned into grey or RGB, resized so that its shorter side is `resize`, cut to
    `size` from its centre (both as torchvision's Resize and CenterCrop do), multiplied by `scale`,
    and normalized: `(value * scale - mean) / std`. A model that torchvision trained on ImageNet
    wants `resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)`.

    Attributes:
        size: height and width in pixels; None takes them from the model's input.
        resize: the shorter side in pixels before the cut; None resizes as little as covers `size`.
        interpolation: how pixels are resampled.
        layout: None infers it from where the model's input has 1 or 3 channels.
        scale: factor on pixel values 0..255; None is 1/255 for float inputs and 1 for integers.
        mean: subtracted after scaling; one number, or one per channel.
        std: divided by after that; one number, or one per channel.
    """

    size: tuple[int, int] | None = None
    resize: int | None = None
    interpolation: Interpolation = "bilinear"
    layout: Layout | None = None
    scale: float | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std"):  # JSON knows lists only
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None else tuple(value))
        if self.interpolation not in get_args(Interpolation):
            raise UsageError(f"interpolation {self.interpolation!r}: use {get_args(Interpolation)}")
        if self.layout not in (None, *get_args(Layout)):
            raise UsageError(f"layout {self.layout!r}: use one of {get_args(Layout)}")
        if 0 in self.std:
            raise UsageError("preprocessing divides by std: it must not hold 0")
        pixels = (*(self.size or (1, 1)), 1 if self.resize is None else self.resize)
        if len(pixels) != 3 or min(pixels) < 1:
            raise UsageError("preprocessing: size is (height, width) and resize a side, in pixels")


@dataclass(frozen=True)
class ImageReader:
    """A `Preprocess` settled for one model input.

    Attributes:
        options: as given.
        size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        layout: the order of the input's axes.
        integer: the input holds integers; values are rounded.
    """

    options: Preprocess
    size: tuple[int, int]
    channels: int
    layout: Layout
    integer: bool

    @property
    def settled(self) -> Preprocess:
        """The same preprocessing with nothing left to infer, for a manifest."""
        return replace(self.options, size=self.size, layout=self.layout, scale=self._scale)

    @property
    def _scale(self) -> float:
        if self.options.scale is not None:
            return self.options.scale
        return 1.0 if self.integer else 1 / 255

    def read(self, file: Path) -> Array:
        """Return a picture as float32 or int64 `[1, C, H, W]` or `[1, H, W, C]`.

        Raises:
            DataError: the file is unreadable, truncated or no 8-bit picture.
        """
        try:
            with Image.open(file) as image:
                return self._numbers(self._cut(self._coloured(image, file), file))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{file}: cannot be read as an image ({error})") from error

    def _coloured(self, image: Image.Image, file: Path) -> Image.Image:
        if image.mode[0] in "IF":
            raise DataError(f"{file}: pixels of mode {image.mode}; save it with 8 bits a channel")
        return image.convert("L" if self.channels == 1 else "RGB")

    def _cut(self, image: Image.Image, file: Path) -> Image.Image:
        """Return the picture resized and cut from its centre."""
        height, width = self.size
        zoom = max(height / image.height, width / image.width)
        if self.options.resize is not None:
            zoom = self.options.resize / min(image.size)
        wide, high = max(width, int(image.width * zoom)), max(height, int(image.height * zoom))
        if wide * high > _MOST_PIXELS:
            raise DataError(f"{file}: {image.width}x{image.height} pixels is too narrow a picture")
        resample = Image.Resampling[self.options.interpolation.upper()]
        left, top = round((wide - width) / 2), round((high - height) / 2)
        resized = image.resize((wide, high), resample)
        return resized.crop((left, top, left + width, top + height))

    def _numbers(self, image: Image.Image) -> Array:
        pixels = np.asarray(image, np.float64).reshape(*self.size, self.channels)
        values = (pixels * self._scale - self.options.mean) / self.options.std
        ordered = (values.transpose(2, 0, 1) if self.layout == "NCHW" else values)[None]
        return np.rint(ordered).astype(np.int64) if self.integer else ordered.astype(np.float32)


_MOST_PIXELS = 2**27
"""Of a resized picture; a strip of a few pixels' height would fill the memory."""


def image_reader(inputs: Sequence[TensorSpec], options: Preprocess) -> ImageReader:
    """Settle what `options` leaves open from the model's input.

    Raises:
        DataError: the model does not read images, or its input does not tell layout or size.
        UsageError: `options` contradicts itself or the model.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        listed = ", ".join(map(str, inputs))
        raise DataError(f"images need a model of one input of 4 dimensions; this one has {listed}")
    spec = inputs[0]
    layout = options.layout or _layout(spec)
    axes = spec.shape[1:] if layout == "NCHW" else (spec.shape[3], *spec.shape[1:3])
    channels = axes[0] if isinstance(axes[0], int) else 3
    if channels not in (1, 3):
        raise DataError(f"images have 1 or 3 channels; input {spec} has {channels} as {layout}")
    size = options.size or _size(spec, axes[1:])
    for name, values in (("mean", options.mean), ("std", options.std)):
        if len(values) not in (1, channels):
            raise UsageError(f"{name} has {len(values)} values; the model has {channels} channels")
    if options.resize is not None and options.resize < max(size):
        raise UsageError(f"a shorter side of {options.resize} pixels does not cover {list(size)}")
    return ImageReader(options, size, channels, layout, np.dtype(spec.dtype).kind != "f")


def _layout(spec: TensorSpec) -> Layout:
    first, last = spec.shape[1] in (1, 3), spec.shape[3] in (1, 3)
    if first == last:
        raise DataError(f"input {spec} does not tell where its channels are; give the layout")
    return "NCHW" if first else "NHWC"


def _size(spec: TensorSpec, sides: Sequence[Dimension]) -> tuple[int, int]:
    height, width = sides
    if not isinstance(height, int) or not isinstance(width, int):
        raise DataError(f"input {spec} leaves height or width open; give the size of the images")
    return height, width
