"""How many bytes a plan takes: its weights on disk, and what is alive while it runs.

The model: a weight takes 4 bytes an element in float; in integers 1 (a half at 4 bits or fewer),
with 5 bytes for each scale and its zero point. One that several groups read is stored once in each
form that they ask for. Groups run in their order, and a value is alive from the group that makes it
to the last that reads it; inputs live from the first group, outputs to the last. It is held in
float, in integers, or in both where a producer leaves one and a reader asks for the other. What a
runtime holds besides (packed copies of weights, scratch, buffers that are reused late) is not
known here: bytes compare plans, they are no forecast of a process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from octavo.backends.base import Backend
from octavo.graph import Graph, Group, Op
from octavo.model import Model
from octavo.plan import FP32, Format, Plan, Scheme
from octavo.search.price.features import asks_integers, makes_integers

FLOAT = 4.0
INTEGER = 1.0
SCALE = 5.0
"""Bytes of a float, of an integer activation, and of a scale with its zero point."""

Stored: TypeAlias = tuple[str, Scheme | None]
"""A weight in one form: its name, and its scheme where it is stored in integers."""


@dataclass(frozen=True)
class Footprint:
    """The sizes of a model, from which those of plans follow.

    Attributes:
        graph: the model.
        shapes: of the constants that its operators read, by name.
    """

    graph: Graph
    shapes: Mapping[str, tuple[int, ...]]

    def stored(self, group: Group, chosen: Format) -> dict[Stored, float]:
        """Return the bytes of every weight of a group in the form that a format asks for."""
        found: dict[Stored, float] = {}
        for name in group.ops:
            op = self.graph.op_by_name[name]
            integers = self._integers(op) if name == group.id and chosen.weight else ()
            for weight in op.weights:
                scheme = chosen.weight if weight in integers else None
                found[weight, scheme] = self.bytes_of(weight, scheme)
        return found

    def _integers(self, op: Op) -> Sequence[str]:
        """Return the weights of an operator that a weight scheme is for, not its bias."""
        if op.linear is not None or not op.weights:
            return (op.linear.weight,) if op.linear else ()
        axes = [len(self.shapes[weight]) for weight in op.weights]
        return [name for name, count in zip(op.weights, axes, strict=True) if count == axes[0]]

    def bytes_of(self, weight: str, scheme: Scheme | None) -> float:
        """Return what a weight takes on disk, in float without a scheme."""
        shape = self.shapes[weight]
        elements = math.prod(shape)
        if scheme is None:
            return FLOAT * elements
        scales = 1 if scheme.axis is None or not shape else shape[scheme.axis % len(shape)]
        if scheme.block is not None:
            scales = math.ceil(elements / scheme.block)
        return elements * (INTEGER if scheme.bits > 4 else INTEGER / 2) + SCALE * scales

    def weights(self, plan: Plan) -> float:
        """Return the bytes of all weights of a plan."""
        stored: dict[Stored, float] = {}
        for group in self.graph.groups:
            stored |= self.stored(group, plan.format(group.id))
        return sum(stored.values())

    def peak(self, plan: Plan) -> float:
        """Return the most bytes of values that are alive at once."""
        held = {name: self._held(name, plan) for name in self.spans}
        return max((sum(held[name] for name in alive) for alive in self.alive), default=0.0)

    def memory(self, plan: Plan) -> float:
        """Return the bytes of the weights and of the values alive at once."""
        return self.weights(plan) + self.peak(plan)

    def _held(self, tensor: str, plan: Plan) -> float:
        producer, readers = self.graph.producer.get(tensor), self.graph.consumers.get(tensor, ())
        chosen = plan.format(producer.id) if producer else FP32
        forms = {makes_integers(producer, chosen, tensor)}
        forms |= {asks_integers(one, plan.format(one.id), tensor) for one in readers}
        if tensor in self.graph.outputs:
            forms.add(False)
        return sum(self.held_bytes(tensor, integers) for integers in forms)

    def held_bytes(self, tensor: str, integers: bool) -> float:
        """Return what a value takes in integers, or as the model has it."""
        known = self.graph.tensors[tensor]
        elements = math.prod(size or 1 for size in known.shape) if known.shape else 1
        return elements * (INTEGER if integers else _item_size(known.dtype))

    @cached_property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """The first and the last group, by number, between which each value is alive."""
        last = len(self.graph.groups) - 1
        found = {name: (0, 0) for name in self.graph.inputs if name in self.graph.tensors}
        for number, group in enumerate(self.graph.groups):
            for name in (*group.inputs, *group.outputs):
                first, _ = found.get(name, (number, number))
                found[name] = (first, number)
        return {
            name: (first, last if name in self.graph.outputs else end)
            for name, (first, end) in found.items()
        }

    @cached_property
    def alive(self) -> Sequence[frozenset[str]]:
        """The values that are alive at once, without sets that are part of others."""
        return list(self._alive())

    def _alive(self) -> Iterator[frozenset[str]]:
        """Yield the values alive while each group runs, where that is more than before or after.

        Values alive at an earlier and at a later time are alive between them, so that a set which
        is part of any other is part of one beside it.
        """
        count = len(self.graph.groups)
        sets = [
            frozenset(name for name, (first, end) in self.spans.items() if first <= at <= end)
            for at in range(count)
        ]
        for at, one in enumerate(sets):
            before, after = sets[at - 1] if at else frozenset(), sets[at + 1 : at + 2]
            if not one <= before and not any(one < other for other in after):
                yield one


def _item_size(dtype: str) -> float:
    try:
        return float(np.dtype(dtype).itemsize)
    except TypeError:  # a type that numpy does not have, or that nobody knows
        return FLOAT


def footprint(backend: Backend, model: Model, graph: Graph) -> Footprint:
    """Return the sizes of a model; its weights are read one after the other."""
    names = dict.fromkeys(name for op in graph.ops for name in op.weights)
    return Footprint(graph, {one: backend.weights(model, [one])[one].shape for one in names})
