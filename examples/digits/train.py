"""Train the example network on composed digits from scratch and export it to ONNX.

    make train                             # in an environment of its own, or by hand:

    pip install -r examples/digits/requirements.txt -e .
    python examples/digits/train.py        # 10 to 15 minutes on one core

The network is a small residual one (0.5 million parameters, 119 million multiply-adds for an image
of 64x64) with what quantizers meet in practice: strided, 1x1 and depthwise convolutions, BatchNorm
left for the quantizer to fold, additions, and a concatenation of two branches. It reads `image`,
float32 `[batch, 3, 64, 64]` in 0..1, and returns `logits`, float32 `[batch, 10]`. Everything is
drawn from `--seed`, and no digit of the calibration or evaluation scenes is trained on.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from octavo.data.digits import DEFAULT_COUNTS
from octavo.data.scenes import BLOCK, SCENE_SHAPE, Split, scene_blocks
from octavo.target import detect_cpu

OPSET = 17

Batches = Callable[[Split, int, int], Iterator[tuple[Tensor, Tensor]]]
"""Gives batches of images and of what they are to be read as: of a split, how many, a seed."""


class ConvNorm(nn.Sequential):
    """A convolution that keeps the size at stride 1, with its BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        super().__init__(convolution, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity, or beside a 1x1 convolution where sizes change."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = ConvNorm(outputs, outputs, 3)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, values: Tensor) -> Tensor:
        """Return relu(second(relu(first)) + shortcut)."""
        inner = functional.relu(self.first(values))
        return functional.relu(self.second(inner) + self.shortcut(values))


class InvertedResidual(nn.Module):
    """Expand, depthwise 3x3, project, add: the block of MobileNetV2."""

    def __init__(self, channels: int, expansion: int):
        super().__init__()
        hidden = channels * expansion
        self.expand = ConvNorm(channels, hidden, 1)
        self.depthwise = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.project = ConvNorm(hidden, channels, 1)

    def forward(self, values: Tensor) -> Tensor:
        """Return the input plus the linear projection."""
        hidden = functional.relu(self.expand(values))
        return values + self.project(functional.relu(self.depthwise(hidden)))


class Downsample(nn.Module):
    """Halve the size in two ways, a strided and a pooled branch, and concatenate them."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.strided = ConvNorm(inputs, outputs // 2, 3, stride=2)
        self.pool = nn.MaxPool2d(2)
        self.pooled = ConvNorm(inputs, outputs // 2, 1)

    def forward(self, values: Tensor) -> Tensor:
        """Return the two branches side by side, channels first."""
        branches = (self.strided(values), self.pooled(self.pool(values)))
        return torch.cat([functional.relu(branch) for branch in branches], dim=1)


class SceneNet(nn.Module):
    """The example network: images `[N, 3, 64, 64]` in 0..1 to logits `[N, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 48, 3, stride=2)
        self.fine = Residual(48, 48)
        self.down = Downsample(48, 96)
        self.middle = Residual(96, 96)
        self.light = InvertedResidual(96, expansion=2)
        self.coarse = Residual(96, 128, stride=2)
        self.classify = nn.Linear(128, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = self.fine(functional.relu(self.stem(image)))
        values = self.coarse(self.light(self.middle(self.down(values))))
        return self.classify(functional.adaptive_avg_pool2d(values, 1).flatten(1))


def tensors(split: Split, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of images and labels; channels_last is the layout torch convolves fastest."""
    for images, labels in scene_blocks(split, count, seed):
        image = torch.from_numpy(images).to(memory_format=torch.channels_last)
        yield image, torch.from_numpy(labels)


def accuracy(network: nn.Module, split: Split, count: int, data: Batches = tensors) -> float:
    """Return the share of the labels of `count` scenes that the network reads rightly."""
    network.eval()
    right = labelled = 0
    with torch.inference_mode():
        for images, labels in data(split, count, 0):
            right += int((network(images).argmax(1) == labels).sum())
            labelled += labels.numel()
    return right / labelled


def train(
    network: nn.Module,
    epochs: int,
    scenes: int,
    seed: int,
    *,
    rate: float = 3e-3,
    data: Batches = tensors,
) -> None:
    """Train with AdamW and one learning-rate cycle; every epoch sees scenes never seen before.

    A processor that multiplies BF16 in hardware does so, with FP32 weights: it halves the time.
    """
    bf16 = detect_cpu().has_bf16
    batches = math.ceil(scenes / BLOCK)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=epochs * batches, pct_start=0.15
    )
    start = time.monotonic()
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for images, labels in data("train", scenes, seed + 1 + epoch):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        checked = accuracy(network, "calibration", DEFAULT_COUNTS["calibration"], data)
        print(
            f"epoch {epoch + 1:2d}/{epochs}  loss {total / batches:.3f}  "
            f"calibration scenes {checked:.1%}  {time.monotonic() - start:.0f} s",
            flush=True,
        )


def export(network: nn.Module, path: Path, *, fold: bool = False) -> None:
    """Write the network in inference mode as one ONNX file, BatchNorm unfolded.

    Args:
        network: the network.
        path: the file.
        fold: whether what is computed from constants is computed now.
    """
    network.eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        # The older exporter keeps BatchNorm and names every node after its module.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, *SCENE_SHAPE),),
            path,
            dynamo=False,
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=fold,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        )
    onnx.checker.check_model(path, full_check=True)


def main() -> None:
    """Read the command line, train, print the accuracy and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--scenes", type=int, default=DEFAULT_COUNTS["train"], help="per epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="another number rounds otherwise")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("scenes.onnx"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(options.seed)
    network = SceneNet().to(memory_format=torch.channels_last)
    train(network, options.epochs, options.scenes, options.seed)
    export(network, options.out)
    count = DEFAULT_COUNTS["evaluation"]
    print(f"evaluation: {accuracy(network, 'evaluation', count):.2%} of {count} scenes")
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
