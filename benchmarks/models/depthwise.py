"""MobileNetV2 in small: depthwise separable, ReLU6, channels of unequal range."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.unequal import between, factors
from examples.digits.train import ConvNorm


class Inverted(nn.Module):
    """Expand, depthwise 3x3, project: the block of MobileNetV2, with a shortcut where it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        self.expand = ConvNorm(inputs, hidden, 1)
        self.depthwise = ConvNorm(hidden, hidden, 3, stride, groups=hidden)
        self.project = ConvNorm(hidden, outputs, 1)
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, values: Tensor) -> Tensor:
        """Return the linear projection, added to the input where shapes allow."""
        hidden = functional.relu6(self.expand(values))
        made = self.project(functional.relu6(self.depthwise(hidden)))
        return values + made if self.shortcut else made


class Depthwise(nn.Module):
    """Images `[N, 3, 64, 64]` to logits `[N, 10]` by depthwise separable convolutions."""

    BLOCKS = ((16, 24, 2, 3), (24, 24, 1, 3), (24, 40, 2, 3), (40, 40, 1, 3), (40, 64, 2, 3),
              (64, 64, 1, 3))  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 16, 3, stride=2)
        self.blocks = nn.Sequential(*[Inverted(*sizes) for sizes in self.BLOCKS])
        self.head = ConvNorm(64, 160, 1)
        self.classify = nn.Linear(160, 10)

    def spread(self, deviation: float) -> None:
        """Scale the channels inside each block by log-normal factors, and what reads them back.

        The output changes only where ReLU6 now cuts other values than before.
        """
        for block in self.blocks:
            for made, read in ((block.expand, block.depthwise), (block.depthwise, block.project)):
                between(made, read, factors(made[1].num_features, deviation))

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = self.blocks(functional.relu6(self.stem(image)))
        values = functional.relu6(self.head(values))
        return self.classify(functional.adaptive_avg_pool2d(values, 1).flatten(1))
