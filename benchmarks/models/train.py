"""Train the networks of `benchmarks.recovery` and `benchmarks.search` and export them to ONNX.

    python -m benchmarks.models.train depthwise      # one after the other: make train-recovery

All read the composed digits of `octavo.data.scenes` and are small on purpose: there is little room
for what quantization takes away, and they are committed, with weights in half precision (see
`halves.py`). Each is in a file of its own. `depthwise` is MobileNetV2 in small (depthwise
separable, ReLU6, BatchNorm left for the quantizer to fold), `se_hardswish` MobileNetV3, `lstm`
reads the rows of features one after the other, and `segmentation` tells for each pixel which digit
covers it. When they are trained, their channels are made as unequal as those of MobileNet
checkpoints that were trained for weeks. `transformer` has a convolutional stem and four pre-norm
blocks. When it is trained, a few channels behind each LayerNorm are made as large as the outlier
channels of large language models, where they come by themselves (Dettmers et al. 2022,
arXiv:2208.07339, section 4). What changes the function by that is trained on. `not_faster` is left
as it is: it has next to nothing that INT8 could save. Everything is drawn from `--seed`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from benchmarks.models.depthwise import Depthwise
from benchmarks.models.halves import halve
from benchmarks.models.lstm import RowReader
from benchmarks.models.not_faster import Trivial
from benchmarks.models.se_hardswish import SqueezeExcite
from benchmarks.models.segmentation import Segmenter
from benchmarks.models.tasks import TASKS
from benchmarks.models.transformer import Transformer
from examples.digits.train import Batches, accuracy, export, train
from octavo.data.digits import DEFAULT_COUNTS
from octavo.data.scenes import Split

SPREAD = 1.5
"""Standard deviation of the logarithm of the factors on channels, where no other is given."""
LARGER = 80
"""How large outlier channels become: the geometric mean of their factors."""


def batches(task: str) -> Batches:
    """Return what gives batches of images and labels for one of `TASKS`."""

    def give(split: Split, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in TASKS[task](split, count, seed):
            image = torch.from_numpy(images).to(memory_format=torch.channels_last)
            yield image, torch.from_numpy(labels)

    return give


@dataclass(frozen=True)
class Course:
    """How a network is trained.

    Attributes:
        network: makes it.
        rate: the highest learning rate.
        cycles: epochs of each learning-rate cycle; attention takes its time to begin.
        spread: what its method `spread` is given afterwards; None leaves it as it is.
        recovery: epochs of training after that, at a tenth of the rate.
        task: of `TASKS`, what it is trained to read.
    """

    network: Callable[[], nn.Module]
    rate: float
    cycles: tuple[int, ...]
    spread: float | None
    recovery: int = 6
    task: str = "digit"


COURSES = {
    "depthwise": Course(Depthwise, 3e-3, (24,), SPREAD),
    "transformer": Course(Transformer, 1e-3, (30, 24), LARGER),
    "se_hardswish": Course(SqueezeExcite, 3e-3, (4,), 0.8, 2),
    "lstm": Course(RowReader, 3e-3, (6,), 1.25, 0),
    "segmentation": Course(Segmenter, 3e-3, (5,), SPREAD, 0, "pixels"),
    "not_faster": Course(Trivial, 1e-2, (2,), None, 0, "quarter"),
}


def run(course: Course, scenes: int, seed: int) -> nn.Module:
    """Train a network, make its channels unequal and train it on."""
    torch.manual_seed(seed)
    network, data = course.network().to(memory_format=torch.channels_last), batches(course.task)
    for epochs in course.cycles:
        train(network, epochs, scenes, seed, rate=course.rate, data=data)
        seed += epochs
    if course.spread is not None:
        network.spread(course.spread)
    if course.recovery:
        train(network, course.recovery, scenes, seed, rate=course.rate / 10, data=data)
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
    course = COURSES[options.network]
    network = run(course, options.scenes, options.seed)
    path = options.out or Path(__file__).with_name(f"{options.network}.onnx")
    export(network, path, fold=True)
    onnx.save(halve(onnx.load(path)), path)
    count = DEFAULT_COUNTS["evaluation"]
    right = accuracy(network, "evaluation", count, batches(course.task))
    print(f"evaluation: {right:.2%} of the labels of {count} scenes")
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
