"""How much noise a plan adds where channels are scaled, predicted without running the model.

Three terms, all at the outputs of the operators that read the channels, relative to the energy of
those outputs:

- activations: a tensor with step `d` gets uniform noise of variance `d**2 / 12` in each channel,
  which the weights that read the channel multiply; a channel far below a step becomes zero and
  loses its mean square, no more;
- weights that read: their rounding error, computed, times the mean square of what they multiply;
- weights that make: their rounding error likewise, which reaches the readers through their weights.
  Half of it, as an activation lets about half of the values through. With a scale per channel it
  does not depend on factors, and is left out.

Errors of different values are taken to be independent. On networks whose channels were made unequal
the factors chosen by this gave 0.1 to 2.7 dB more than the closed form of Nagel et al. 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from octavo.arrays import FloatArray
from octavo.correct.constants import Constants, to_blocks
from octavo.correct.layers import Layer
from octavo.correct.moments import Moments
from octavo.correct.scale import scale_inputs, scale_outputs
from octavo.correct.sites import Site
from octavo.graph import Graph
from octavo.measure.quantization import steps
from octavo.plan import Plan, Scheme

PASSED = 0.5
"""Share of the noise that an activation lets through."""


@dataclass
class Surroundings:
    """What the noise at a site depends on.

    Attributes:
        graph: the model.
        constants: its constants; they change while sites are scaled.
        layers: its linear operators by name, as the plan runs them.
        quantized: the schemes of the tensors that the plan quantizes.
        moments: of the channels of tensors; they change while sites are scaled.
        factors: what the channels of tensors were multiplied by so far.
    """

    graph: Graph
    constants: Constants
    layers: Mapping[str, Layer]
    quantized: Mapping[str, Scheme]
    moments: dict[str, Moments]
    factors: dict[str, FloatArray] = field(default_factory=dict)


def quantized_tensors(graph: Graph, plan: Plan) -> dict[str, Scheme]:
    """Return the schemes of all activation tensors that a plan quantizes, at run time too."""
    found: dict[str, Scheme] = {}
    for group in graph.groups:
        chosen = plan.format(group.id)
        pairs = [*zip(group.inputs, chosen.inputs, strict=False)]
        pairs += zip(group.outputs, chosen.outputs, strict=False)
        found.update({name: scheme for name, scheme in pairs if scheme is not None})
    return found


def predicted_noise(around: Surroundings, site: Site, factor: FloatArray) -> float:
    """Return the noise at the readers of a site over their signal, summed over the readers.

    Args:
        around: constants and moments as they are now.
        site: the site.
        factor: what its channels would be multiplied by.
    """
    added = _activation_noise(around, site, factor)
    made = _noise_of_makers(around, site, factor)
    return sum(_noise_of_reader(around, name, factor, added, made) for name in site.readers)


def _activation_noise(around: Surroundings, site: Site, factor: FloatArray) -> float:
    """Return the variance that rounding adds to each channel, over all tensors of the site."""
    variances: dict[str, float] = {}
    for name in site.axes:
        if name not in around.quantized:
            continue
        moments = around.moments[name].times(factor)
        low, high = min(0.0, moments.low.min()), max(0.0, moments.high.max())
        step = (high - low) / steps(around.quantized[name])
        tie = around.graph.tensors[name].tie or name  # tied tensors are rounded once
        variances[tie] = max(variances.get(tie, 0.0), step**2 / 12)
    return sum(variances.values())


def _noise_of_makers(around: Surroundings, site: Site, factor: FloatArray) -> FloatArray:
    """Return the variance `[channels]` that rounding the weights of makers adds."""
    noise = np.zeros(site.channels)
    for name in site.makers:
        layer = around.layers.get(name)
        if layer is None or layer.scheme is None or layer.scheme.axis is not None:
            continue
        weight = scale_outputs(around.constants[layer.linear.weight], layer.linear, factor)
        squares = _rounding_error(layer, weight) * _squares(around, layer)
        noise += PASSED * squares.sum(axis=(2, 3)).reshape(-1)
    return noise


def _noise_of_reader(
    around: Surroundings, name: str, factor: FloatArray, added: float, made: FloatArray
) -> float:
    linear = around.graph.op_by_name[name].linear
    assert linear is not None
    weight = scale_inputs(around.constants[linear.weight], linear, 1 / factor)
    blocks = to_blocks(weight, linear)
    through = np.square(blocks).sum(axis=(1, 3)).reshape(-1)
    tensor = around.graph.op_by_name[name].inputs[0]
    scale = (blocks.shape[0], 1, blocks.shape[2], 1)
    squares = (around.moments[tensor].square * factor**2).reshape(scale)
    signal = float((np.square(blocks) * squares).sum())
    noise = float((through * (np.minimum(added, squares.reshape(-1)) + made)).sum())
    layer = around.layers.get(name)
    if layer is not None and layer.scheme is not None:
        noise += float((_rounding_error(layer, weight) * squares).sum())
    return noise / signal if signal else 0.0


def _rounding_error(layer: Layer, weight: FloatArray) -> FloatArray:
    """Return the squared rounding errors of a weight, as blocks."""
    rounded = layer.as_run(weight.astype(np.float32))
    return np.square(to_blocks(weight - rounded, layer.linear))


def _squares(around: Surroundings, layer: Layer) -> FloatArray:
    """Return the mean squares of what a layer reads, in a shape that multiplies its blocks."""
    groups = layer.linear.groups
    return around.moments[layer.input].square.reshape(groups, 1, -1, 1)
