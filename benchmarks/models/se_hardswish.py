"""MobileNetV3 in small: ReLU first, then squeeze-and-excitation, HardSwish, depthwise layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.unequal import between, divide, factors
from examples.digits.train import ConvNorm


class Excite(nn.Module):
    """A factor 0..1 for each channel, found from the means of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, values: Tensor) -> Tensor:
        """Return the values times their factors."""
        means = functional.adaptive_avg_pool2d(values, 1)
        factor = self.excite(functional.relu(self.squeeze(means)))
        return values * functional.hardsigmoid(factor)


class Fused(nn.Module):
    """Expand by a 3x3 convolution, ReLU, project: the block of EfficientNetV2 (Tan and Le 2021).

    It stands for the early blocks of MobileNetV3, which have ReLU and excite nothing either.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        self.expand = ConvNorm(inputs, inputs * expansion, 3, stride)
        self.project = ConvNorm(inputs * expansion, outputs, 1)
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, values: Tensor) -> Tensor:
        """Return the linear projection, added to the input where shapes allow."""
        made = self.project(functional.relu(self.expand(values)))
        return values + made if self.shortcut else made

    def spread(self, deviation: float) -> None:
        """Scale the channels between the convolutions; the function stays what it is."""
        between(self.expand, self.project, factors(self.expand[1].num_features, deviation))


class Inverted(nn.Module):
    """Expand, depthwise 3x3, excite, project, with a shortcut where it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        self.expand = ConvNorm(inputs, hidden, 1)
        self.depthwise = ConvNorm(hidden, hidden, 3, stride, groups=hidden)
        self.excite = Excite(hidden)
        self.project = ConvNorm(hidden, outputs, 1)
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, values: Tensor) -> Tensor:
        """Return the linear projection, added to the input where shapes allow."""
        hidden = functional.hardswish(self.expand(values))
        hidden = functional.hardswish(self.depthwise(hidden))
        made = self.project(self.excite(hidden))
        return values + made if self.shortcut else made

    def spread(self, deviation: float) -> None:
        """Scale the channels between the convolutions.

        HardSwish is not homogeneous, so that the function changes: it has to be trained on.
        """
        width = self.expand[1].num_features
        between(self.expand, self.depthwise, factors(width, deviation))
        factor = factors(width, deviation)
        between(self.depthwise, self.project, factor)
        divide(self.excite.squeeze, factor)


class SqueezeExcite(nn.Module):
    """Images `[N, 3, 64, 64]` to logits `[N, 10]`."""

    FUSED = ((16, 24, 1, 4), (24, 24, 2, 4), (24, 24, 1, 4))
    INVERTED = ((24, 40, 2, 3), (40, 40, 1, 3))

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 16, 3, stride=2)
        fused, inverted = ([Fused(*s) for s in self.FUSED], [Inverted(*s) for s in self.INVERTED])
        self.blocks = nn.Sequential(*fused, *inverted)
        self.head = ConvNorm(40, 96, 1)
        self.classify = nn.Linear(96, 10)

    def spread(self, deviation: float) -> None:
        """Scale the channels inside each block by log-normal factors, and what reads them back."""
        for block in self.blocks:
            assert isinstance(block, Fused | Inverted)
            block.spread(deviation)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = self.blocks(functional.relu(self.stem(image)))
        values = functional.hardswish(self.head(values))
        return self.classify(functional.adaptive_avg_pool2d(values, 1).flatten(1))
