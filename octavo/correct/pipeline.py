"""From a float model and a plan to the model that loses least when the plan is built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from octavo.arrays import Batch, FloatArray, batch_size
from octavo.backends.base import Ranges
from octavo.correct.bias import correct_biases
from octavo.correct.channels import scale_channels
from octavo.correct.check import output_errors
from octavo.correct.task import Setup, Task
from octavo.correct.weights import round_weights
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import CORRECTIONS, Correction

Calibrate: TypeAlias = Callable[[Model, Graph], Ranges]
"""Gives the activation ranges that a plan needs, from a float model and its graph."""

BIAS_SAMPLES = 128
"""Samples that means are taken over. There is a pass for every depth of the network."""

SCALING: tuple[Correction, ...] = ("equalize", "smooth")
"""The corrections that scale channels; they are kept or left out together."""


@dataclass(frozen=True)
class Corrected:
    """A corrected model.

    Attributes:
        model: the float model to build; with `round` or `bias` it makes up for what building takes
            away, and computes something else than FP32 by itself.
        ranges: of its activations, to build it with.
        scales: axis and factor by tensor: in the built model its channels are those of FP32 times
            the factor.
        record: what was done by each method, JSON-ready. `kept` says whether the model has it;
            `output_error` is how far the INT8 outputs were from FP32 before and after, as the root
            mean square over that of the outputs.
    """

    model: Model
    ranges: Ranges
    scales: Mapping[str, tuple[int, FloatArray]] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _State:
    """How far corrections have come.

    Attributes:
        setup: the FP32 model, scaled or not, and its ranges.
        model: the same with changed weights and biases.
        error: of the INT8 form of `model`.
        scales: as in `Corrected`.
    """

    setup: Setup
    model: Model
    error: float
    scales: Mapping[str, tuple[int, FloatArray]] = field(default_factory=dict)

    def better(self, other: _State, *records: dict[str, Any]) -> _State:
        """Return whichever is nearer to FP32, and note that in `records`."""
        kept = other.error < self.error
        for record in records:
            record.update(output_error=[self.error, other.error], kept=kept)
        return other if kept else self

    def with_model(self, model: Model) -> _State:
        """Return the state with another model to build."""
        return replace(self, model=model, error=_error(self.setup, model))


def correct(
    task: Task, methods: Collection[Correction] = CORRECTIONS, *, calibrate: Calibrate
) -> Corrected:
    """Return the model that loses least when the plan is built.

    Channels are scaled first, which leaves the FP32 function as it is and is checked to; then
    weights are rounded, and biases corrected on the INT8 model that results. Each step is built,
    and kept only where the outputs of the INT8 form come nearer to those of FP32.

    Args:
        task: the model, the plan and the samples.
        methods: which corrections; they are made in the order of `CORRECTIONS` in any case.
        calibrate: gives the ranges for the plan.

    Raises:
        DataError: a tensor is not finite.
    """
    setup = Setup(task, calibrate(task.model, task.graph))
    if not methods:
        return Corrected(task.model, setup.ranges)
    state = _State(setup, task.model, _error(setup, task.model))
    record: dict[str, Any] = {}
    if scaling := [method for method in SCALING if method in methods]:
        state = _scaled(state, scaling, calibrate, record)
    for method, make in (("round", _rounded), ("bias", _with_biases)):
        if method in methods:
            changed, record[method] = make(state.setup, state.model)
            state = state.better(state.with_model(changed), record[method])
    return Corrected(state.model, state.setup.ranges, state.scales, record)


def _scaled(
    state: _State, methods: Collection[Correction], calibrate: Calibrate, record: dict[str, Any]
) -> _State:
    task = state.setup.task
    found = scale_channels(task, methods)
    record.update(found.record)
    if found.model is task.model:
        return state
    graph = task.backend.graph(found.model, task.target)
    other = replace(task, model=found.model, graph=graph)
    setup = Setup(other, calibrate(found.model, graph))
    tried = _State(setup, found.model, _error(setup, found.model), found.scales)
    made = [record[method] for method in methods if record[method]["scaled"]]
    return state.better(tried, *made)


def _error(setup: Setup, model: Model) -> float:
    """Return how far the outputs of the INT8 form are from FP32, on samples biases do not see.

    Where there are no others, it is on all.
    """
    task, built = setup.task, setup.build(model)
    for batches in (samples_after(task.batches(), BIAS_SAMPLES), task.batches()):
        errors = output_errors(task.backend, task.model, built, batches, task.target)
        if errors:
            break
    return sum(errors.values()) / len(errors)


def _rounded(setup: Setup, model: Model) -> tuple[Model, dict[str, Any]]:
    edits, left = round_weights(setup)
    record = {"layers": len(left), "error_of_nearest": _mean(left.values())}
    return setup.task.backend.edit(model, edits), record


def _with_biases(setup: Setup, model: Model) -> tuple[Model, dict[str, Any]]:
    task = setup.task
    few = replace(task, batches=lambda: first_samples(task.batches(), BIAS_SAMPLES))
    corrected, shifts = correct_biases(replace(setup, task=few), model)
    return corrected, {"layers": len(shifts), "mean_shift": _mean(shifts.values())}


def _mean(values: Collection[float]) -> float | None:
    return sum(values) / len(values) if values else None


def first_samples(batches: Iterable[Batch], count: int) -> Iterable[Batch]:
    """Yield the first batches, until they hold `count` samples."""
    for batch in batches:
        if count <= 0:
            return
        yield batch
        count -= batch_size(batch)


def samples_after(batches: Iterable[Batch], count: int) -> Iterable[Batch]:
    """Yield the batches that `first_samples` leaves."""
    for batch in batches:
        if count <= 0:
            yield batch
        count -= batch_size(batch)
