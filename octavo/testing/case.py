"""One network on one backend, with everything that the contract's tests ask of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce

import numpy as np

from octavo.arrays import Array, Batch, batch_size
from octavo.backends.base import Backend, Ranges
from octavo.backends.reference.network import Network
from octavo.graph import Graph, Group
from octavo.model import Model
from octavo.plan import Format, Plan, Range
from octavo.target import Target
from octavo.testing.evaluator import evaluate
from octavo.testing.networks import samples
from octavo.testing.simulation import Simulation

SAMPLES = 8


@dataclass(frozen=True)
class Tolerances:
    """How far two right implementations of the same integers may be apart.

    Attributes:
        steps: the most that a quantized value may differ, in steps of its scale.
        exact: the least share of quantized values that do not differ.
        margin: how much nearer the built model is to its oracle than the float model is, in dB.
        baseline: the least SQNR of a baseline to the float model, in dB, where a runtime computes
            in a shorter float by default; infinite where they may differ by rounding alone.
    """

    steps: float = 1.0
    exact: float = 0.95
    margin: float = 6.0
    baseline: float = math.inf


class Recorder:
    """An observer that keeps every array it is shown."""

    def __init__(self, tensors: Iterable[str]) -> None:
        self.tensors = tuple(tensors)
        self.arrays: dict[str, list[Array]] = {}

    def update(self, tensor: str, values: Array) -> None:
        """Keep a copy of the values."""
        self.arrays.setdefault(tensor, []).append(np.array(values))

    def joined(self) -> dict[str, Array]:
        """Return the values of all batches, by tensor."""
        return {name: np.concatenate(arrays) for name, arrays in self.arrays.items()}


@dataclass(frozen=True)
class Single:
    """A model in which one group alone is quantized."""

    group: Group
    format: Format
    plan: Plan
    model: Model

    def __str__(self) -> str:
        leaving = "quantized" if any(self.format.outputs) else "float"
        return f"group {self.group.id!r} in {self.format.compute} with {leaving} output"


@dataclass(frozen=True)
class Case:
    """One network on one backend.

    Attributes:
        backend: the backend.
        network: the network.
        source: writes a network as something that the backend loads.
        rename: the backend's name of a tensor of the network.
        target: what models are built for.
        tolerances: how far right results may be apart.
    """

    backend: Backend
    network: Network
    source: Callable[[Network], object]
    rename: Callable[[str], str] = str
    target: Target = field(default_factory=Target)
    tolerances: Tolerances = field(default_factory=Tolerances)

    def load(self, network: Network) -> Model:
        """Return a network as a model of the backend."""
        return self.backend.load(self.source(network))

    @cached_property
    def model(self) -> Model:
        """The float model."""
        return self.load(self.network)

    @cached_property
    def graph(self) -> Graph:
        """Its description."""
        return self.describe(self.model)

    def describe(self, model: Model) -> Graph:
        """Return the graph of a float model."""
        return self.backend.graph(model, self.target)

    @cached_property
    def samples(self) -> Batch:
        """All samples, by the network's input names."""
        return samples(self.network, SAMPLES)

    @cached_property
    def batch(self) -> Batch:
        """All samples, by the backend's input names."""
        return {self.rename(name): array for name, array in self.samples.items()}

    def batches(self, size: int) -> list[Batch]:
        """Return all samples in batches of `size`."""
        starts = range(0, batch_size(self.batch), size)
        return [{name: a[i : i + size] for name, a in self.batch.items()} for i in starts]

    @cached_property
    def expected(self) -> dict[str, Array]:
        """Every tensor of the network as the evaluator computes it, by the backend's name."""
        values = evaluate(self.network, self.samples)
        return {self.rename(name): array for name, array in values.items()}

    @cached_property
    def floats(self) -> dict[str, Array]:
        """Every tensor of the graph as the float model shows it."""
        return self.watch(self.model, self.graph.tensors)

    def watch(
        self, model: Model, tensors: Iterable[str], batches: Iterable[Batch] | None = None
    ) -> dict[str, Array]:
        """Return the values of tensors on all samples."""
        recorder = Recorder(tensors)
        self.backend.observe(model, batches or [self.batch], recorder, self.target)
        return recorder.joined()

    def run(self, model: Model) -> dict[str, Array]:
        """Return the outputs on all samples."""
        return self.backend.open(model, self.target).run(self.batch)

    def output(self, model: Model) -> Array:
        """Return all outputs on all samples as one vector."""
        return flat(self.run(model))

    @cached_property
    def float_output(self) -> Array:
        """All outputs of the float model as one vector."""
        return self.output(self.model)

    @cached_property
    def ranges(self) -> Ranges:
        """The range of every tensor, the same for tied ones."""
        own = {name: Range(float(a.min()), float(a.max())) for name, a in self.floats.items()}
        ties = self.graph.ties.values()
        shared = {name: reduce(Range.union, (own[n] for n in tie)) for tie in ties for name in tie}
        return own | shared

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Groups that have a quantized format."""
        return tuple(group for group in self.graph.groups if group.formats)

    @cached_property
    def plan(self) -> Plan:
        """Every group in its best static format."""
        pairs = ((group, static_formats(group)) for group in self.groups)
        return Plan({group.id: formats[0] for group, formats in pairs if formats})

    @cached_property
    def built(self) -> Model:
        """The model of `plan`."""
        return self.build(self.plan)

    def build(self, plan: Plan, ranges: Ranges | None = None) -> Model:
        """Return the INT8 form of the model."""
        known = self.ranges if ranges is None else ranges
        return self.backend.build(self.model, plan, known, self.target)

    def reference(self, plan: Plan) -> Model:
        """Return the backend's float oracle of a plan."""
        return self.backend.reference(self.model, plan, self.ranges, self.target)

    @cached_property
    def singles(self) -> tuple[Single, ...]:
        """One model for every group and static format of it."""
        return tuple(
            self._single(group, chosen) for group in self.groups for chosen in static_formats(group)
        )

    def _single(self, group: Group, chosen: Format) -> Single:
        plan = Plan({group.id: chosen})
        return Single(group, chosen, plan, self.build(plan))

    def simulate(self, plan: Plan, ranges: Ranges | None = None) -> dict[str, Array]:
        """Return every tensor as the plan has to make it, by the backend's name."""
        known = self.ranges if ranges is None else ranges
        simulation = Simulation(self.network, self.graph, plan, known, self.rename)
        return simulation.run(self.samples)

    def simulated_output(self, plan: Plan, ranges: Ranges | None = None) -> Array:
        """Return all outputs as the plan has to make them, as one vector."""
        values = self.simulate(plan, ranges)
        return flat({name: values[name] for name in self.graph.outputs})


def static_formats(group: Group) -> tuple[Format, ...]:
    """Return the static INT8 formats of a group, best first."""
    return tuple(chosen for chosen in group.formats if chosen.compute == "int8")


def flat(arrays: Mapping[str, Array]) -> Array:
    """Return arrays as one vector, in the order of their names."""
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


def close(values: Array, expected: Array) -> bool:
    """Return whether two arrays are equal up to the rounding of float32 arithmetic."""
    return values.shape == expected.shape and bool(
        np.abs(values - expected).max(initial=0)
        <= 1e-5 * max(np.abs(expected).max(initial=0), 1e-6)
    )
