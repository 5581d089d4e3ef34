"""A network with next to nothing to multiply: what INT8 would save, its borders cost."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Trivial(nn.Module):
    """Images `[N, 3, 64, 64]` to logits `[N, 4]` by a pool, GELUs and depthwise convolutions.

    GELU has no INT8 form, and each convolution lies between two of them.
    """

    WIDTH, DEPTH = 12, 3

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, self.WIDTH, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1, groups=self.WIDTH)
            for _ in range(self.DEPTH)
        )
        self.classify = nn.Linear(self.WIDTH * 16, 4)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = functional.gelu(self.stem(functional.avg_pool2d(image, 4)))
        for layer in self.layers:
            values = functional.gelu(layer(values))
        return self.classify(functional.avg_pool2d(values, 4).flatten(1))
