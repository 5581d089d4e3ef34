"""How far values are from what they should be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from octavo.arrays import Array


@dataclass
class Energy:
    """Sums of squares over all values seen, float64.

    Attributes:
        signal: of what was expected.
        noise: of the difference from it.
    """

    signal: float = 0.0
    noise: float = 0.0

    @classmethod
    def of(cls, expected: Array, actual: Array) -> Energy:
        """Return the sums over two arrays of one shape."""
        found = cls()
        found.add(expected, actual)
        return found

    def add(self, expected: Array, actual: Array) -> None:
        """Take further values, of one shape."""
        exact = np.asarray(expected, np.float64)
        self.signal += float(np.square(exact).sum())
        self.noise += float(np.square(actual - exact).sum())

    @property
    def sqnr_db(self) -> float:
        """The signal-to-quantization-noise ratio in dB.

        Infinity without noise, minus infinity for noise without a signal or what is not finite.
        """
        if self.noise == 0:
            return math.inf
        ratio = self.signal / self.noise
        return 10 * math.log10(ratio) if ratio > 0 else -math.inf  # NaN is not above 0
