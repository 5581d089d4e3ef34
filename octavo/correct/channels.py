"""Scaling the channels of a model: equalization and SmoothQuant, checked to change no output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from octavo.arrays import FloatArray
from octavo.backends.base import Multiply
from octavo.correct.check import require_same_function
from octavo.correct.constants import Constants
from octavo.correct.equalize import equalize
from octavo.correct.layers import find_layers
from octavo.correct.moments import ChannelObserver
from octavo.correct.noise import Surroundings, quantized_tensors
from octavo.correct.sites import Site, find_sites
from octavo.correct.smooth import possible_products, smooth
from octavo.correct.task import Task
from octavo.errors import ModelError
from octavo.graph import Graph
from octavo.model import Model

CHECKED = 2
"""Batches on which a model with scaled channels has to compute what it did."""

Noise = dict[str, tuple[float, float]]
"""Predicted noise over the signal before and after, by a tensor of each site."""


@dataclass(frozen=True)
class Scaled:
    """A model with scaled channels.

    Attributes:
        model: computes what the given one did; the given one itself where nothing is to be scaled.
        scales: axis and factor of the tensors of the given model that are scaled in it, by name.
        record: what was done by each method, JSON-ready.
    """

    model: Model
    scales: Mapping[str, tuple[int, FloatArray]]
    record: Mapping[str, Any]


def scale_channels(task: Task, methods: Collection[str]) -> Scaled:
    """Equalize and smooth, whichever `methods` name; a model that changed its function is refused.

    Args:
        task: the model.
        methods: with `equalize`, `smooth` or both.
    """
    products = _products(task) if "smooth" in methods else []
    trial = task.backend.edit(task.model, products) if products else task.model
    graph = task.backend.graph(trial, task.target) if products else task.graph
    made = _made_by(products, task.graph, graph)
    constants = Constants(task.backend, trial)
    sites = find_sites(graph, constants)
    around = _surroundings(task, trial, graph, constants, sites)
    noise: dict[str, Noise] = {}
    if "equalize" in methods:
        noise["equalize"] = equalize(around, sites)
    if "smooth" in methods:
        noise["smooth"] = smooth(around, sites, made)
    kept = [product for name, product in made.items() if name in noise.get("smooth", {})]
    scales = _scales(task.graph, around, sites)
    if not scales and not kept:
        return Scaled(task.model, {}, {name: _record(found, 0.0) for name, found in noise.items()})
    model = task.backend.edit(task.model, [*kept, *constants.edits()])
    try:
        checked = islice(task.batches(), CHECKED)
        change = require_same_function(task.backend, task.model, model, checked, task.target)
    except ModelError as error:
        return Scaled(
            task.model, {}, {name: {"kept": False, "reason": str(error)} for name in noise}
        )
    record = {name: _record(found, change) for name, found in noise.items()}
    if kept:
        record["smooth"]["products"] = len(kept)
    return Scaled(model, scales, record)


def _products(task: Task) -> list[Multiply]:
    constants = Constants(task.backend, task.model)
    sites = find_sites(task.graph, constants)
    return possible_products(task.graph, task.plan, constants, task.layers, sites)


def _made_by(products: Iterable[Multiply], before: Graph, after: Graph) -> dict[str, Multiply]:
    """Return the products by the tensors that they make."""
    new = [op for op in after.ops if op.name not in before.op_by_name]
    by_input = {op.inputs[0]: op.outputs[0] for op in new}
    return {by_input[product.tensor]: product for product in products}


def _surroundings(
    task: Task, model: Model, graph: Graph, constants: Constants, sites: list[Site]
) -> Surroundings:
    layers = {layer.op.name: layer for layer in find_layers(graph, task.plan)}
    axes = {layer.input: layer.linear.tensor_axis for layer in layers.values()}
    for site in sites:
        axes.update(site.axes)
    observer = ChannelObserver(axes)
    task.observe(model, observer)
    quantized = quantized_tensors(graph, task.plan)
    return Surroundings(graph, constants, layers, quantized, observer.moments)


def _scales(
    graph: Graph, around: Surroundings, sites: Iterable[Site]
) -> dict[str, tuple[int, FloatArray]]:
    axes = {name: axis for site in sites for name, axis in site.axes.items()}
    return {
        name: (axes[name], factor)
        for name, factor in around.factors.items()
        if name in graph.tensors and (factor != 1).any()
    }


def _record(noise: Noise, change: float) -> dict[str, Any]:
    better = [(before, after) for before, after in noise.values() if after < before]
    record: dict[str, Any] = {"sites": len(noise), "scaled": len(better)}
    if not better:
        reason = "no factors leave less noise" if noise else "no channels can be scaled"
        return {**record, "kept": False, "reason": reason}
    sums = [sum(values) for values in zip(*better, strict=True)]
    return {**record, "predicted_noise": sums, "change_of_fp32": change}
