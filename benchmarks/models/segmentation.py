"""A small U-Net that tells for each pixel which digit covers it, if one does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.unequal import divide, factors, multiply
from examples.digits.train import ConvNorm

CLASSES = 11
"""The background, and the ten digits after it."""


class Segmenter(nn.Module):
    """Images `[N, 3, 64, 64]` to logits `[N, 11, 64, 64]`."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = ConvNorm(3, 12, 3, stride=2)
        self.quarter = nn.ModuleList([ConvNorm(12, 24, 3, stride=2), ConvNorm(24, 24, 3)])
        self.eighth = nn.ModuleList([ConvNorm(24, 40, 3, stride=2), ConvNorm(40, 40, 3)])
        self.up_quarter = ConvNorm(40 + 24, 24, 3)
        self.up_half = ConvNorm(24 + 12, 16, 3)
        self.classify = nn.Conv2d(16, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of each pixel."""
        fine = functional.relu(self.fine(image))
        quarter = self._through(self.quarter, fine)
        eighth = self._through(self.eighth, quarter)
        joined = functional.relu(self.up_quarter(torch.cat([_double(eighth), quarter], dim=1)))
        joined = functional.relu(self.up_half(torch.cat([_double(joined), fine], dim=1)))
        return _double(self.classify(joined))

    def spread(self, deviation: float) -> None:
        """Scale the channels by log-normal factors, and what reads them back.

        The function stays what it is.
        """
        (quarter, quarter_2), (eighth, eighth_2) = self.quarter, self.eighth
        readers = {
            self.fine: ((quarter[0], 0), (self.up_half[0], 24)),
            quarter: ((quarter_2[0], 0),),
            quarter_2: ((eighth[0], 0), (self.up_quarter[0], 40)),
            eighth: ((eighth_2[0], 0),),
            eighth_2: ((self.up_quarter[0], 0),),
            self.up_quarter: ((self.up_half[0], 0),),
            self.up_half: ((self.classify, 0),),
        }
        for made, read in readers.items():
            factor = factors(made[1].num_features, deviation)
            multiply(made, factor)
            for convolution, first in read:
                divide(convolution, factor, first)

    def _through(self, layers: nn.ModuleList, values: Tensor) -> Tensor:
        for layer in layers:
            values = functional.relu(layer(values))
        return values


def _double(values: Tensor) -> Tensor:
    return functional.interpolate(values, scale_factor=2.0, mode="nearest")
