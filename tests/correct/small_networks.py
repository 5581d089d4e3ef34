"""Small networks with unequal channels, on the reference backend."""

from dataclasses import dataclass, replace

import numpy as np

from octavo.backends.reference import ReferenceBackend
from octavo.backends.reference.network import Layer, Network
from octavo.correct import Task
from octavo.measure import Statistics, tied_ranges
from octavo.model import TensorSpec
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.target import Target
from octavo.testing.networks import samples

BACKEND, TARGET = ReferenceBackend(), Target()


def deep(layers=6, channels=8):
    """Return a residual network of many convolutions, so that errors of means add up."""
    rng = np.random.default_rng(0)
    made, weights, tensor = [], {}, "image"
    for index in range(layers):
        name, inputs = f"c{index}", 3 if tensor == "image" else channels
        size = np.sqrt(2 / (9 * inputs))
        weights[f"{name}.weight"] = rng.normal(size=(channels, inputs, 3, 3)) * size
        weights[f"{name}.bias"] = rng.normal(size=channels) * 0.2
        names = (f"{name}.weight", f"{name}.bias")
        made.append(Layer(name, "conv", (tensor,), f"{name}.out", names, {"padding": 1}))
        made.append(Layer(f"{name}r", "relu", (f"{name}.out",), f"{name}r.out"))
        before, tensor = tensor, f"{name}r.out"
        if index % 2:
            made.append(Layer(f"{name}s", "add", (tensor, before), f"{name}s.out"))
            tensor = f"{name}s.out"
    arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    image = TensorSpec("image", "float32", ("n", 3, 8, 8))
    return Network("deep", (image,), (tensor,), tuple(made), arrays)


def scaled_channels(network, pairs, spread=2.0, seed=0):
    """Return a network whose channels between two layers differ by log-normal factors."""
    rng = np.random.default_rng(seed)
    weights = dict(network.weights)
    for maker, reader in pairs:
        first, second = weights[f"{maker}.weight"], weights[f"{reader}.weight"]
        factor = np.exp(rng.normal(size=len(first)) * spread).astype(np.float32)
        per_output = factor.reshape(-1, *[1] * (first.ndim - 1))
        depthwise = second.ndim == 4 and second.shape[1] == 1 and len(second) == len(first)
        per_input = per_output if depthwise else factor.reshape(1, -1, *[1] * (second.ndim - 2))
        weights |= {f"{maker}.weight": first * per_output, f"{reader}.weight": second / per_input}
        weights[f"{maker}.bias"] = weights[f"{maker}.bias"] * factor
    return replace(network, weights=weights)


@dataclass(frozen=True)
class Small:
    """A network of the reference backend with a plan and samples."""

    network: Network
    count: int = 96

    @property
    def model(self):
        return BACKEND.load(self.network)

    @property
    def graph(self):
        return BACKEND.graph(self.model, TARGET)

    @property
    def plan(self):
        """Every group in INT8."""
        return initial_plan(self.graph).plan

    def batches(self, seed=0):
        whole = samples(self.network, self.count, seed)
        starts = range(0, self.count, 32)
        return [{name: a[i : i + 32] for name, a in whole.items()} for i in starts]

    @property
    def task(self):
        return Task(BACKEND, self.model, self.graph, self.plan, TARGET, self.batches)

    def ranges(self, model, graph):
        schemes = wanted_tensors(graph, [self.plan])
        statistics = Statistics(schemes)
        BACKEND.observe(model, self.batches(), statistics, TARGET)
        return tied_ranges(statistics, graph, self.plan.recipe, schemes)

    def run(self, model, seed=9):
        """Return the first output on samples that nothing was made from."""
        return next(iter(BACKEND.open(model, TARGET).run(self.batches(seed)[0]).values()))
