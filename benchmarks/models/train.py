"""Train the networks of `benchmarks.recovery` from scratch and export them to ONNX.

    python -m benchmarks.models.train depthwise      # both: make train-recovery
    python -m benchmarks.models.train transformer

Both read the composed digits of `octavo.data.scenes` and are small on purpose: there is little room
for what quantization takes away. `depthwise` is MobileNetV2 in small (depthwise separable, ReLU6,
BatchNorm left for the quantizer to fold). When it is trained, its channels are made as unequal as
those of MobileNet checkpoints that were trained for weeks. `transformer` has a convolutional stem
and four pre-norm blocks. When it is trained, a few channels behind each LayerNorm are made as large
as the outlier channels of large language models, where they come by themselves (Dettmers et al.
2022, arXiv:2208.07339, section 4). Both are trained on after that. Everything is drawn from
`--seed`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.train import ConvNorm, accuracy, export, train
from octavo.data.digits import DEFAULT_COUNTS

SPREAD = 1.5
"""Standard deviation of the logarithm of the factors on channels of `depthwise`."""
RECOVERY = 6
"""Epochs of training after channels were changed, at a tenth of the rate."""
OUTLIERS = 4
"""Channels of each LayerNorm of `transformer` that become outliers."""
LARGER = 80
"""By how much: the geometric mean of their factors, whose logarithms have the deviation 0.3."""


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
                factor = (torch.randn(made[1].num_features) * deviation).exp()
                made[1].weight.data *= factor
                made[1].bias.data *= factor
                shape = (-1, 1, 1, 1) if read[0].groups > 1 else (1, -1, 1, 1)
                read[0].weight.data /= factor.view(shape)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = self.blocks(functional.relu6(self.stem(image)))
        values = functional.relu6(self.head(values))
        return self.classify(functional.adaptive_avg_pool2d(values, 1).flatten(1))


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


@dataclass(frozen=True)
class Course:
    """How a network is trained.

    Attributes:
        network: makes it.
        rate: the highest learning rate.
        cycles: epochs of each learning-rate cycle; attention takes its time to begin.
        spread: what its method `spread` is given afterwards.
    """

    network: Callable[[], Depthwise | Transformer]
    rate: float
    cycles: tuple[int, ...]
    spread: float


COURSES = {
    "depthwise": Course(Depthwise, 3e-3, (24,), SPREAD),
    "transformer": Course(Transformer, 1e-3, (30, 24), LARGER),
}


def run(course: Course, scenes: int, seed: int) -> nn.Module:
    """Train a network, make its channels unequal and train it on."""
    torch.manual_seed(seed)
    network = course.network().to(memory_format=torch.channels_last)
    for epochs in course.cycles:
        train(network, epochs, scenes, seed, rate=course.rate)
        seed += epochs
    network.spread(course.spread)
    train(network, RECOVERY, scenes, seed, rate=course.rate / 10)
    return network


def main() -> None:
    """Read the command line, train, print the accuracy and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=COURSES)
    parser.add_argument("--scenes", type=int, default=DEFAULT_COUNTS["train"], help="per epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)  # another number rounds otherwise
    torch.use_deterministic_algorithms(True)
    network = run(COURSES[options.network], options.scenes, options.seed)
    path = options.out or Path(__file__).with_name(f"{options.network}.onnx")
    export(network, path, fold=True)
    count = DEFAULT_COUNTS["evaluation"]
    print(f"evaluation: {accuracy(network, 'evaluation', count):.2%} of {count} scenes")
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
