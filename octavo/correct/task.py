"""What corrections work on: a model, what will be built of it, and samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from octavo.arrays import Array, Batch
from octavo.backends.base import Backend, Observer, Ranges
from octavo.correct.layers import Layer, find_layers
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target


@dataclass(frozen=True)
class Task:
    """A model, what will be built of it, and what it is observed on.

    Attributes:
        backend: runs the model.
        model: the float model.
        graph: its description.
        plan: what will be built.
        target: where models run meanwhile.
        batches: gives the calibration samples, from the first one at each call.
    """

    backend: Backend
    model: Model
    graph: Graph
    plan: Plan
    target: Target
    batches: Callable[[], Iterable[Batch]]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The operators with a constant weight, as the plan runs them."""
        return find_layers(self.graph, self.plan)

    def observe(self, model: Model, observer: Observer) -> None:
        """Show `observer` the samples in a float or built model."""
        self.backend.observe(model, self.batches(), observer, self.target)


@dataclass(frozen=True)
class Setup:
    """What is built and observed while weights and biases are corrected.

    Attributes:
        task: the FP32 model whose outputs are to be kept, and the plan.
        ranges: of the activations of that model.
    """

    task: Task
    ranges: Ranges

    def build(self, model: Model) -> Model:
        """Return the INT8 form of a model with corrected constants."""
        return self.task.backend.build(model, self.task.plan, self.ranges, self.task.target)

    def read(self, layer: Layer, values: Array) -> Array:
        """Return what a layer of the INT8 form reads of the values of its input."""
        return layer.as_read(values, self.ranges)

    def constant(self, model: Model, name: str) -> Array:
        """Return a constant of a model."""
        return self.task.backend.weights(model, [name])[name]
