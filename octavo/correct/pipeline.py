"""From a float model and a plan to the model that loses least when the plan is built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeAlias, get_args

from octavo.arrays import Batch, FloatArray, batch_size
from octavo.backends.base import Backend, Ranges
from octavo.correct.bias import Setup, correct_biases, expected_means, mean_shifts, relative_shift
from octavo.correct.check import require_same_function
from octavo.correct.constants import Constants
from octavo.correct.equalize import equalize
from octavo.correct.layers import find_layers
from octavo.correct.moments import ChannelObserver
from octavo.correct.noise import Surroundings, quantized_tensors
from octavo.correct.sites import Site, find_sites
from octavo.correct.smooth import smooth
from octavo.correct.weights import round_weights
from octavo.errors import ModelError
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target

Method: TypeAlias = Literal["equalize", "smooth", "round", "bias"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Every correction, in the order in which they are made."""

Calibrate: TypeAlias = Callable[[Model, Graph], Ranges]
"""Gives the activation ranges that a plan needs, from a float model and its graph."""

CHECKED = 2
"""Batches on which a model with scaled channels has to compute what it did."""

BIAS_SAMPLES = 128
"""Samples that means are taken over. There is a pass for every depth of the network."""


@dataclass(frozen=True)
class Corrected:
    """A corrected model.

    Attributes:
        model: the float model to build; with `round` or `bias` it makes up for what building takes
            away, and computes something else than FP32 by itself.
        graph: its description.
        ranges: of its activations, to build it with.
        scales: axis and factor by tensor: in the built model its channels are those of FP32 times
            the factor.
        record: what was done by each method, JSON-ready.
    """

    model: Model
    graph: Graph
    ranges: Ranges
    scales: Mapping[str, tuple[int, FloatArray]] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Work:
    """A model on its way through the methods."""

    backend: Backend
    model: Model
    graph: Graph
    plan: Plan
    target: Target
    batches: Callable[[], Iterable[Batch]]
    scales: dict[str, tuple[int, FloatArray]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


def correct(
    backend: Backend,
    model: Model,
    graph: Graph,
    plan: Plan,
    batches: Callable[[], Iterable[Batch]],
    methods: Collection[Method] = METHODS,
    *,
    target: Target,
    calibrate: Calibrate,
) -> Corrected:
    """Return the model that loses least when `plan` is built.

    Channels are scaled first, which leaves the FP32 function as it is and is checked to; then
    ranges are calibrated, weights rounded, and biases corrected on the INT8 model that results.

    Args:
        backend: applies the edits.
        model: the float model; not changed.
        graph: its description.
        plan: what will be built.
        batches: gives the calibration samples, from the first one at each call.
        methods: which corrections; they are made in the order of `METHODS` in any case.
        target: where models run meanwhile.
        calibrate: gives the ranges for the plan.

    Raises:
        DataError: a tensor is not finite.
    """
    work = _Work(backend, model, graph, plan, target, batches)
    if {"equalize", "smooth"} & set(methods):
        _scale_channels(work, methods)
    ranges = calibrate(work.model, work.graph)
    if {"round", "bias"} & set(methods):
        _correct_constants(work, ranges, methods)
    return Corrected(work.model, work.graph, ranges, work.scales, work.record)


def _scale_channels(work: _Work, methods: Collection[Method]) -> None:
    """Equalize and smooth, where the result computes what the model does."""
    constants = Constants(work.backend, work.model)
    sites = find_sites(work.graph, constants)
    around = _surroundings(work, constants, sites)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    if "equalize" in methods:
        found["equalize"] = equalize(around, sites)
    if "smooth" in methods:
        found["smooth"] = smooth(around, sites)
    scaled = work.backend.edit(work.model, constants.edits())
    checked = islice(work.batches(), CHECKED)
    try:
        change = require_same_function(work.backend, work.model, scaled, checked, work.target)
    except ModelError as error:
        work.record.update({name: {"refused": str(error)} for name in found})
        return
    work.model, work.graph = scaled, work.backend.graph(scaled, work.target)
    axes = {name: axis for site in sites for name, axis in site.axes.items()}
    work.scales.update({n: (axes[n], f) for n, f in around.factors.items() if (f != 1).any()})
    work.record.update({name: _scaling_record(noise, change) for name, noise in found.items()})


def _scaling_record(noise: Mapping[str, tuple[float, float]], change: float) -> dict[str, Any]:
    better = [(before, after) for before, after in noise.values() if after < before]
    return {
        "sites": len(noise),
        "scaled": len(better),
        "predicted_noise": [sum(values) for values in zip(*better, strict=True)] or None,
        "change_of_fp32": change,
    }


def _surroundings(work: _Work, constants: Constants, sites: list[Site]) -> Surroundings:
    layers = {layer.op.name: layer for layer in find_layers(work.graph, work.plan)}
    axes = {layer.input: layer.linear.tensor_axis for layer in layers.values()}
    for site in sites:
        axes.update(site.axes)
    observer = ChannelObserver(axes)
    work.backend.observe(work.model, work.batches(), observer, work.target)
    quantized = quantized_tensors(work.graph, work.plan)
    return Surroundings(work.graph, constants, layers, quantized, observer.moments)


def _correct_constants(work: _Work, ranges: Ranges, methods: Collection[Method]) -> None:
    """Round weights, and correct biases after that."""
    layers = find_layers(work.graph, work.plan)
    setup = Setup(work.backend, work.model, work.plan, ranges, work.target, work.batches)
    if "round" in methods:
        edits, left = round_weights(setup, work.graph, layers, centred="bias" in methods)
        work.model = work.backend.edit(work.model, edits)
        mean = sum(left.values()) / len(left) if left else None
        work.record["round"] = {"layers": len(left), "error_of_nearest": mean}
    if "bias" in methods:
        few = Setup(
            work.backend, setup.model, work.plan, ranges, work.target,
            lambda: first_samples(work.batches(), BIAS_SAMPLES),
        )  # fmt: skip
        _correct_biases(work, few)
    work.graph = work.backend.graph(work.model, work.target)


def _correct_biases(work: _Work, setup: Setup) -> None:
    """Correct biases, unless the means of the INT8 model are farther off for it."""
    layers = find_layers(work.graph, work.plan)
    expected = expected_means(setup, layers)
    before = relative_shift(mean_shifts(setup, work.model, layers, expected), expected)
    corrected = correct_biases(setup, work.model, layers)
    again = find_layers(work.backend.graph(corrected, work.target), work.plan)
    after = relative_shift(mean_shifts(setup, corrected, again, expected), expected)
    record = {"layers": len(layers), "mean_shift": [before, after]}
    work.record["bias"] = record
    if after < before:
        work.model = corrected


def first_samples(batches: Iterable[Batch], count: int) -> Iterable[Batch]:
    """Yield the first samples, in the same batches; the last of them may be larger than needed."""
    for batch in batches:
        if count <= 0:
            return
        yield batch
        count -= batch_size(batch)
