"""Random inputs that a network can tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.model import TensorSpec

WORDS = 1000
PATCHES = 8


def random_inputs(specs: Sequence[TensorSpec], samples: int, seed: int = 0) -> dict[str, Array]:
    """Return arrays for a model's inputs: images, word ids, masks of ones.

    Args:
        specs: the inputs; the first axis is that of the samples.
        samples: how many.
        seed: of the random values.
    """
    rng = np.random.default_rng(seed)

    def one(spec: TensorSpec) -> Array:
        shape = (samples, *spec.concrete()[1:])
        if "mask" in spec.name:
            return np.ones(shape, np.int64)
        if spec.dtype == "int64":
            return rng.integers(0, WORDS, shape)
        return images(rng, shape) if len(shape) == 4 else rng.random(shape, np.float32)

    return {spec.name: one(spec) for spec in specs}


def images(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Return tinted patches under noise in 0..1; NCHW or NHWC, as the axis of the channels says.

    Averages over images of noise alone are all the same, and so would be what a network makes.
    """
    channel = 1 if shape[1] <= 4 else 3
    height, width = (size for axis, size in enumerate(shape) if axis not in (0, channel))
    tints = rng.uniform(0.2, 1.0, (shape[0], shape[channel], 1, 1)).astype(np.float32)
    patches = tints * rng.random((shape[0], shape[channel], PATCHES, PATCHES), np.float32)
    rows, columns = (np.arange(size) * PATCHES // size for size in (height, width))
    picture = patches[:, :, rows][:, :, :, columns]
    noise = rng.random(picture.shape, np.float32)
    mixed = np.float32(0.7) * picture + np.float32(0.3) * noise
    return np.ascontiguousarray(mixed if channel == 1 else mixed.transpose(0, 2, 3, 1))
