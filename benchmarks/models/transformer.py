"""A small pre-norm transformer behind a convolutional stem, with outlier channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.train import ConvNorm

OUTLIERS = 4
"""Channels of each LayerNorm that become outliers."""


class Block(nn.Module):
    """Attention and a perceptron, each behind a LayerNorm and beside a shortcut."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.before_mlp = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape, `[samples, tokens, width]`."""
        values = values + self.attend(self.before_attention(values))
        return values + self.down(functional.gelu(self.up(self.before_mlp(values))))

    def attend(self, values: Tensor) -> Tensor:
        """Return the attention of all tokens to all, in `heads` parts."""
        parts = (-1, values.shape[1], self.heads, values.shape[2] // self.heads)
        query = self.query(values).view(parts).transpose(1, 2)
        key = self.key(values).view(parts).permute(0, 2, 3, 1)
        value = self.value(values).view(parts).transpose(1, 2)
        weights = torch.softmax(query @ key * parts[-1] ** -0.5, dim=-1)
        joined = (weights @ value).transpose(1, 2).reshape(-1, values.shape[1], values.shape[2])
        return self.out(joined)


class Transformer(nn.Module):
    """Images `[N, 3, 64, 64]` to logits `[N, 10]` by attention among 64 patches."""

    STEM = ((3, 24, 2), (24, 48, 2), (48, 48, 1), (48, 64, 2))

    def __init__(self, width: int = 64, depth: int = 4, heads: int = 4):
        super().__init__()
        self.stem = nn.ModuleList(ConvNorm(*sizes[:2], 3, sizes[2]) for sizes in self.STEM)
        self.patches = nn.Linear(64, width)
        self.positions = nn.Parameter(torch.randn(1, 64, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.last = nn.LayerNorm(width)
        self.classify = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = image
        for layer in self.stem:
            values = functional.relu(layer(values))
        tokens = self.patches(values.flatten(2).transpose(1, 2)) + self.positions
        return self.classify(self.last(self.blocks(tokens)).mean(dim=1))

    def spread(self, factor: float) -> None:
        """Make outliers of a few channels behind each LayerNorm; the function stays what it is.

        Their scale and shift are multiplied, and the weights that read them are divided.
        """
        norms = [(self.last, [self.classify])]
        for block in self.blocks:
            norms.append((block.before_attention, [block.query, block.key, block.value]))
            norms.append((block.before_mlp, [block.up]))
        for norm, readers in norms:
            chosen = torch.randperm(norm.weight.numel())[:OUTLIERS]
            factors = factor * (torch.randn(OUTLIERS) * 0.3).exp()
            norm.weight.data[chosen] *= factors
            norm.bias.data[chosen] *= factors
            for reader in readers:
                reader.weight.data[:, chosen] /= factors
