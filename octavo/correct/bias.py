"""Bias correction: quantization shifts the mean of what a layer makes, and its bias shifts it back.

After Nagel et al. 2019 (arXiv:1906.04721), section 4.2, in the empirical form of their appendix D:
the mean of each output channel of the real INT8 model is brought to that of FP32 on calibration
data. The means are those of the sums, before an activation: `W E[x] + b` of the FP32 input against
`W' E[x'] + b'` with the weight and the input that the INT8 model has.

What reaches a layer depends on the biases before it. Layers are therefore corrected in the order of
their depth, each on a model in which all before it are corrected. Correcting them all at once
corrects every shift several times over: on a residual network the error grew with every repetition.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby

import numpy as np

from octavo.arrays import Array, FloatArray
from octavo.backends.base import Bias, Edit
from octavo.correct.constants import to_blocks
from octavo.correct.layers import Layer
from octavo.correct.sums import InputObserver
from octavo.correct.task import Setup
from octavo.model import Model

ROWS = 32
"""Positions of one sample that a mean is taken over; the same ones in both models."""


def correct_biases(setup: Setup, model: Model) -> tuple[Model, dict[str, float]]:
    """Return a model whose INT8 form makes the means of FP32 in every layer.

    Args:
        setup: the FP32 model and how to build.
        model: the model to correct; its weights may be others than those of the FP32 model.

    Returns:
        The model, and by operator the shift that was found over the mean, each as the root mean
        square over its channels.
    """
    task = setup.task
    chosen = sorted(filter(can_be_corrected, task.layers), key=lambda layer: layer.depth)
    expected = expected_means(setup, chosen)
    reads = [name for op in task.graph.ops for name in op.weights]
    own = {name for name in reads if reads.count(name) == 1}
    found = {}
    for _, stage in groupby(chosen, key=lambda layer: layer.depth):
        together = list(stage)
        shifts = mean_shifts(setup, model, together, expected)
        edits = [_shifted(setup, model, one, shifts[one.op.name], own) for one in together]
        model = task.backend.edit(model, edits)
        found.update({name: _ratio(shift, expected[name]) for name, shift in shifts.items()})
    return model, found


def can_be_corrected(layer: Layer) -> bool:
    """Return whether a layer has a bias, or is a convolution, which gets one for nothing.

    A matrix product without a bias would need an addition for it, which is a pass over its output.
    """
    return layer.linear.bias is not None or layer.op.kind == "conv"


def expected_means(setup: Setup, layers: Iterable[Layer]) -> dict[str, FloatArray]:
    """Return the mean of each output channel in FP32, by operator."""
    chosen, model = list(layers), setup.task.model
    observer = InputObserver(chosen, lambda layer, values: values, ROWS)
    setup.task.observe(model, observer)
    weights = {one.op.name: setup.constant(model, one.linear.weight) for one in chosen}
    return _mean_outputs(setup, model, chosen, weights, observer)


def mean_shifts(
    setup: Setup, model: Model, layers: Iterable[Layer], expected: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return how far the means of the INT8 form lie above the expected ones, by operator.

    Args:
        setup: how to build.
        model: the model whose INT8 form is observed.
        layers: the layers that are wanted.
        expected: what `expected_means` returned.

    Returns:
        float64 `[output channels]` for each layer.
    """
    chosen = list(layers)
    observer = InputObserver(chosen, setup.read, ROWS)
    setup.task.observe(setup.build(model), observer)
    weights = {one.op.name: one.as_run(setup.constant(model, one.linear.weight)) for one in chosen}
    made = _mean_outputs(setup, model, chosen, weights, observer)
    return {name: mean - expected[name] for name, mean in made.items()}


def _mean_outputs(
    setup: Setup,
    model: Model,
    layers: Iterable[Layer],
    weights: Mapping[str, Array],
    observer: InputObserver,
) -> dict[str, FloatArray]:
    """Return the means of sums with their biases, by operator."""
    means = {}
    for layer in layers:
        blocks = to_blocks(weights[layer.op.name], layer.linear)
        row = observer.sums[layer.op.name].mean
        sums = blocks.reshape(*blocks.shape[:2], -1) @ row[:, :, None]
        means[layer.op.name] = sums.reshape(-1) + _bias(setup, model, layer)
    return means


def _bias(setup: Setup, model: Model, layer: Layer) -> FloatArray:
    """Return the bias of a layer, zero without one."""
    name = layer.linear.bias
    if name is None:
        return np.zeros(1)
    return setup.constant(model, name).astype(np.float64).reshape(-1)


def _shifted(
    setup: Setup, model: Model, layer: Layer, shift: FloatArray, own: Collection[str]
) -> Edit | Bias:
    """Return the edit that takes a shift off the bias of a layer."""
    bias = (_bias(setup, model, layer) - shift).astype(np.float32)
    name = layer.linear.bias
    if name is None or name not in own:
        return Bias(layer.op.name, bias)
    return Edit(name, bias.reshape(setup.constant(model, name).shape))


def _ratio(shift: FloatArray, mean: FloatArray) -> float:
    signal = float(np.square(mean).sum())
    return math.sqrt(float(np.square(shift).sum()) / signal) if signal else 0.0
