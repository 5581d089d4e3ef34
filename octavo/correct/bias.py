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
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from octavo.arrays import Array, Batch, FloatArray
from octavo.backends.base import Backend, Bias, Edit, Ranges
from octavo.correct.constants import to_blocks
from octavo.correct.layers import Layer
from octavo.correct.sums import InputObserver
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target

ROWS = 32
"""Positions of one sample that a mean is taken over; the same ones in both models."""


@dataclass(frozen=True)
class Setup:
    """What is built and observed while weights and biases are corrected.

    Attributes:
        backend: runs the models.
        model: the FP32 model whose outputs are to be kept.
        plan: what is built.
        ranges: of the activations, from the FP32 model.
        target: where it runs.
        batches: gives the calibration samples, from the first one at each call.
    """

    backend: Backend
    model: Model
    plan: Plan
    ranges: Ranges
    target: Target
    batches: Callable[[], Iterable[Batch]]

    def build(self, model: Model) -> Model:
        """Return the INT8 form of a model with corrected constants."""
        return self.backend.build(model, self.plan, self.ranges, self.target)

    def read(self, layer: Layer, values: Array) -> Array:
        """Return what a layer of the INT8 form reads of the values of its input."""
        return layer.as_read(values, self.ranges)

    def weight(self, model: Model, layer: Layer) -> Array:
        """Return the weight of a layer."""
        name = layer.linear.weight
        return self.backend.weights(model, [name])[name]


def correct_biases(setup: Setup, model: Model, layers: Iterable[Layer]) -> Model:
    """Return a model whose INT8 form makes the means of `setup.model` in every layer.

    Args:
        setup: the FP32 model and how to build.
        model: the model to correct; its weights may be others than those of `setup.model`.
        layers: the layers to correct.
    """
    chosen = sorted(filter(can_be_corrected, layers), key=lambda layer: layer.depth)
    expected = expected_means(setup, chosen)
    uses = Counter(layer.linear.bias for layer in chosen)
    shared = {name for name, count in uses.items() if name is not None and count > 1}
    for _, stage in groupby(chosen, key=lambda layer: layer.depth):
        together = list(stage)
        shifts = mean_shifts(setup, model, together, expected)
        model = setup.backend.edit(
            model,
            [_shifted(setup, model, one, shifts[one.op.name], shared) for one in together],
        )
    return model


def can_be_corrected(layer: Layer) -> bool:
    """Return whether a layer has a bias, or is a convolution, which gets one for nothing.

    A matrix product without a bias would need an addition for it, which is a pass over its output.
    """
    return layer.linear.bias is not None or layer.op.kind == "conv"


def expected_means(setup: Setup, layers: Iterable[Layer]) -> dict[str, FloatArray]:
    """Return the mean of each output channel in FP32, by operator."""
    chosen = list(layers)
    observer = InputObserver(chosen, lambda layer, values: values, ROWS)
    setup.backend.observe(setup.model, setup.batches(), observer, setup.target)
    return {
        layer.op.name: _mean_output(
            setup, setup.model, layer, setup.weight(setup.model, layer), observer
        )
        for layer in chosen
    }


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
    setup.backend.observe(setup.build(model), setup.batches(), observer, setup.target)
    made = {}
    for layer in chosen:
        weight = layer.as_run(setup.weight(model, layer))
        mean = _mean_output(setup, model, layer, weight, observer)
        made[layer.op.name] = mean - expected[layer.op.name]
    return made


def relative_shift(shifts: Mapping[str, FloatArray], expected: Mapping[str, FloatArray]) -> float:
    """Return the mean over layers of the shift over the mean, each a root mean square."""
    ratios = [
        math.sqrt(float(np.square(shift).sum() / max(np.square(expected[name]).sum(), 1e-300)))
        for name, shift in shifts.items()
    ]
    return sum(ratios) / len(ratios) if ratios else 0.0


def _mean_output(
    setup: Setup, model: Model, layer: Layer, weight: Array, observer: InputObserver
) -> FloatArray:
    blocks = to_blocks(weight, layer.linear)
    groups, outputs = blocks.shape[:2]
    mean = observer.sums[layer.op.name].mean
    sums = blocks.reshape(groups, outputs, -1) @ mean[:, :, None]
    return sums.reshape(-1) + _bias(setup, model, layer, sums.size)


def _bias(setup: Setup, model: Model, layer: Layer, channels: int) -> FloatArray:
    name = layer.linear.bias
    if name is None:
        return np.zeros(channels)
    return setup.backend.weights(model, [name])[name].astype(np.float64).reshape(-1)


def _shifted(
    setup: Setup, model: Model, layer: Layer, shift: FloatArray, shared: Collection[str]
) -> Edit | Bias:
    """Return the edit that takes a shift off the bias of a layer."""
    bias = (_bias(setup, model, layer, shift.size) - shift).astype(np.float32)
    name = layer.linear.bias
    if name is None or name in shared:
        return Bias(layer.op.name, bias)
    return Edit(name, bias.reshape(setup.backend.weights(model, [name])[name].shape))
