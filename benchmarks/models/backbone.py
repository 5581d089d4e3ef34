"""The first layers of the demo's network as they were trained, for others to build on."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.unequal import between, factors, multiply
from examples.digits.train import SceneNet

SCENES = Path(__file__).parents[2] / "examples" / "digits" / "scenes.onnx"


class Backbone(nn.Module):
    """Images `[N, 3, 64, 64]` to features `[N, 96, 16, 16]`; not trained any more."""

    CHANNELS = 96

    def __init__(self) -> None:
        super().__init__()
        trained = SceneNet()
        constants = onnx.load(SCENES).graph.initializer
        weights = {
            one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in constants
        }
        for name in ("stem", "fine", "down"):
            part = getattr(trained, name)
            part.load_state_dict(_within(name, weights) | _counters(part))
            setattr(self, name, part)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in inference mode: BatchNorm keeps its means."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the features."""
        return self.down(self.fine(functional.relu(self.stem(image))))

    def spread(self, deviation: float) -> Tensor:
        """Scale channels by log-normal factors; return those of the features, to be divided by."""
        inner = self.fine.first
        between(inner, self.fine.second, factors(inner[1].num_features, deviation))
        branches = (self.down.strided, self.down.pooled)
        made = [factors(branch[1].num_features, deviation) for branch in branches]
        for branch, factor in zip(branches, made, strict=True):
            multiply(branch, factor)
        return torch.cat(made)


def _within(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of one part, by their names inside it."""
    first = f"{name}."
    return {key[len(first) :]: one for key, one in weights.items() if key.startswith(first)}


def _counters(part: nn.Module) -> dict[str, Tensor]:
    """Return the batches that BatchNorm counted, which are not exported."""
    return {key: one for key, one in part.state_dict().items() if "num_batches" in key}
