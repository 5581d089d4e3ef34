"""The array types that cross between the rooms: plain numpy, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
Batch: TypeAlias = Mapping[str, Array]
"""Arrays by tensor name; axis 0 of each is the sample axis."""


def batch_size(batch: Batch) -> int:
    """Return the number of samples in `batch`: the length of axis 0, 1 for scalars only."""
    return max((len(array) for array in batch.values() if array.ndim), default=1)
