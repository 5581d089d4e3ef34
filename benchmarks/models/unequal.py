"""Channels of unequal range, as networks have them that were trained for weeks.

What makes a channel multiplies it by a factor, what reads it divides by the factor: the function
stays what it is wherever nothing lies between the two but ReLU, pools and moves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.digits.train import ConvNorm


def factors(channels: int, deviation: float) -> Tensor:
    """Return log-normal factors, `[channels]`.

    Args:
        channels: how many.
        deviation: standard deviation of their logarithm.
    """
    return (torch.randn(channels) * deviation).exp()


def multiply(made: ConvNorm, factor: Tensor) -> None:
    """Multiply the channels that a convolution and its BatchNorm make."""
    norm = made[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.data *= factor
    norm.bias.data *= factor


def divide(read: nn.Conv2d, factor: Tensor, first: int = 0) -> None:
    """Divide the weights that read channels from the `first` on."""
    if read.groups > 1:
        read.weight.data /= factor.view(-1, 1, 1, 1)
    else:
        read.weight.data[:, first : first + len(factor)] /= factor.view(1, -1, 1, 1)


def between(made: ConvNorm, read: ConvNorm, factor: Tensor) -> None:
    """Multiply the channels between two convolutions."""
    multiply(made, factor)
    convolution = read[0]
    assert isinstance(convolution, nn.Conv2d)
    divide(convolution, factor)
