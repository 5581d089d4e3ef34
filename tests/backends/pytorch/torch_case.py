"""What the tests of this backend share: modules, and their INT8 forms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from octavo.backends.pytorch import PyTorchBackend, Source
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan, Range
from octavo.search.initial import initial_plan
from octavo.target import Cpu, Target
from octavo.testing.case import Recorder
from octavo.testing.simulation import sqnr

BACKEND = PyTorchBackend()
TARGET = Target()
NO_VNNI = Target(cpu=Cpu("any", "x86_64", frozenset({"avx2"}), 1))


def seeded(module: nn.Module) -> nn.Module:
    """Return a module whose parameters and statistics are no defaults."""
    torch.manual_seed(0)
    for inner in module.modules():
        if isinstance(inner, nn.BatchNorm2d):
            inner.running_mean.uniform_(-1, 1)
            inner.running_var.uniform_(0.5, 2)
            nn.init.uniform_(inner.weight, 0.5, 2)
            nn.init.uniform_(inner.bias, -1, 1)
    return module.eval()


class Block(nn.Module):
    """Two convolutions with BatchNorm, added to what they read, as ResNet does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x
        return self.relu(y)


class ResNet(nn.Module):
    """A small residual network with a classifier."""

    def __init__(self, channels: int = 16, blocks: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 10)

    def forward(self, image):
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(image))), 1))


class Function(nn.Module):
    """A function of modules, as a module."""

    def __init__(self, function, **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


@dataclass(frozen=True)
class Case:
    """A module with inputs, by name where names are given, and what it becomes."""

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    approach: str = "static"
    target: Target = TARGET
    names: tuple[str, ...] = ()

    @cached_property
    def model(self) -> Model:
        if self.names:
            given = dict(zip(self.names, self.inputs, strict=True))
            return BACKEND.load(Source(self.module, kwargs=given))
        return BACKEND.load(Source(self.module, self.inputs))

    @cached_property
    def graph(self) -> Graph:
        return BACKEND.graph(self.model, self.target)

    @cached_property
    def batch(self) -> dict[str, np.ndarray]:
        names = (spec.name for spec in self.model.inputs)
        return {name: one.numpy() for name, one in zip(names, self.inputs, strict=True)}

    @cached_property
    def ranges(self) -> dict[str, Range]:
        recorder = Recorder(n for n, t in self.graph.tensors.items() if t.dtype == "float32")
        BACKEND.observe(self.model, [self.batch], recorder, self.target)
        joined = recorder.joined().items()
        own = {name: Range(float(a.min()), float(a.max())) for name, a in joined}
        for names in self.graph.ties.values():
            low, high = (min(own[n].low for n in names), max(own[n].high for n in names))
            own |= dict.fromkeys(names, Range(low, high))
        return own

    @cached_property
    def plan(self) -> Plan:
        return initial_plan(self.graph, approach=self.approach).plan

    @cached_property
    def built(self) -> Model:
        return BACKEND.build(self.model, self.plan, self.ranges, self.target)

    @cached_property
    def reference(self) -> Model:
        return BACKEND.reference(self.model, self.plan, self.ranges, self.target)

    def run(self, model: Model) -> dict[str, np.ndarray]:
        return BACKEND.open(model, self.target).run(self.batch)

    def output(self, model: Model) -> np.ndarray:
        return np.concatenate([one.ravel() for one in self.run(model).values()])

    @property
    def exactness(self) -> float:
        """SQNR of the built model to its float oracle, in dB."""
        return sqnr(self.output(self.built), self.output(self.reference))

    @property
    def expected(self) -> np.ndarray:
        with torch.no_grad():
            made = self.module(*self.inputs)
        made = made if isinstance(made, tuple) else (made,)
        return np.concatenate([one.numpy().ravel() for one in made])

    def kernels(self, group: str) -> tuple[str, ...]:
        audits = BACKEND.audit(self.model, self.plan, self.built, self.batch, self.target)
        return next(audit.kernels for audit in audits if audit.group == group)


def images(count: int = 4, channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def rows(count: int = 4, length: int = 6, width: int = 16) -> torch.Tensor:
    return torch.randn(count, length, width, generator=torch.Generator().manual_seed(2))
