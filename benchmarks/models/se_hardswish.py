"""MobileNetV3 in small: squeeze-and-excitation, HardSwish and depthwise layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.backbone import Backbone
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
    """Images `[N, 3, 64, 64]` to logits `[N, 10]`.

    The early layers, which have ReLU and excite nothing in MobileNetV3 either, are those of the
    demo's network.
    """

    BLOCKS = ((24, 40, 2, 3), (40, 40, 1, 3))

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.narrow = ConvNorm(Backbone.CHANNELS, 24, 1)
        self.blocks = nn.Sequential(*[Inverted(*sizes) for sizes in self.BLOCKS])
        self.head = ConvNorm(40, 96, 1)
        self.classify = nn.Linear(96, 10)

    def spread(self, deviation: float) -> None:
        """Scale channels by log-normal factors, and what reads them back."""
        convolution = self.narrow[0]
        assert isinstance(convolution, nn.Conv2d)
        divide(convolution, self.backbone.spread(deviation))
        for block in self.blocks:
            assert isinstance(block, Inverted)
            block.spread(deviation)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = self.blocks(self.narrow(self.backbone(image)))
        values = functional.hardswish(self.head(values))
        return self.classify(functional.adaptive_avg_pool2d(values, 1).flatten(1))
