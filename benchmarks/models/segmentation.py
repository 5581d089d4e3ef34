"""A U-Net that tells for each pixel which digit covers it, on features of the demo's network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.backbone import Backbone
from benchmarks.models.unequal import divide, factors, multiply
from examples.digits.train import ConvNorm

CLASSES = 11
"""The background, and the ten digits after it."""


class Segmenter(nn.Module):
    """Images `[N, 3, 64, 64]` to logits `[N, 11, 64, 64]`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.side = ConvNorm(Backbone.CHANNELS, 24, 1)
        self.deep = ConvNorm(Backbone.CHANNELS, 32, 3, stride=2)
        self.deeper = ConvNorm(32, 32, 3)
        self.join = ConvNorm(32 + 24, 24, 3)
        self.widen = ConvNorm(24, 16, 3)
        self.classify = nn.Conv2d(16, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of each pixel."""
        features = self.backbone(image)
        side = functional.relu(self.side(features))
        deep = functional.relu(self.deeper(functional.relu(self.deep(features))))
        joined = functional.relu(self.join(torch.cat([_double(deep), side], dim=1)))
        return _double(self.classify(functional.relu(self.widen(_double(joined)))))

    def spread(self, deviation: float) -> None:
        """Scale channels by log-normal factors, and what reads them back.

        The function stays what it is.
        """
        factor = self.backbone.spread(deviation)
        for reader in (self.side, self.deep):
            divide(_convolution(reader), factor)
        self._between(self.side, _convolution(self.join), deviation, first=32)
        self._between(self.deep, _convolution(self.deeper), deviation)
        self._between(self.deeper, _convolution(self.join), deviation)
        self._between(self.join, _convolution(self.widen), deviation)
        self._between(self.widen, self.classify, deviation)

    def _between(
        self, made: ConvNorm, read: nn.Conv2d, deviation: float, *, first: int = 0
    ) -> None:
        factor = factors(_convolution(made).out_channels, deviation)
        multiply(made, factor)
        divide(read, factor, first)


def _convolution(layer: ConvNorm) -> nn.Conv2d:
    convolution = layer[0]
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _double(values: Tensor) -> Tensor:
    return functional.interpolate(values, scale_factor=2.0, mode="nearest")
