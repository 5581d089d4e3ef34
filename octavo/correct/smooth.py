"""SmoothQuant: outlier channels of an activation become larger channels of the weights behind it.

After Xiao et al. 2022, "SmoothQuant" (arXiv:2211.10438), equation 4: the channels of what a
normalization makes are divided by `s = max|X|**alpha / max|W|**(1 - alpha)`, in its own constants,
and the weights that read them are multiplied by it. The paper gives a whole model one alpha; here
each site gets its own, the one that is predicted to leave the least noise at the outputs.

Where no constant can take the factors (a residual stream that is read beside the weights, a GELU),
a product with them is put in front of the weights. It costs a pass over the activation when the
model runs, and is put in where it halves the noise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from octavo.backends.base import Multiply
from octavo.correct.constants import Constants
from octavo.correct.factors import Exponents, choose_factor, scale_site
from octavo.correct.layers import Layer
from octavo.correct.noise import Surroundings
from octavo.correct.sites import Site, input_channels
from octavo.graph import Graph
from octavo.plan import Plan

FAMILY: tuple[Exponents, ...] = tuple((a / 20, 0.0, 1 - a / 20) for a in range(21))
"""Every alpha that is tried, with what it is in `octavo.correct.factors`."""

PAYS = 0.5
"""Share of its noise that a product which was put in may leave at most."""


def smoothing_sites(sites: Sequence[Site]) -> list[Site]:
    """Return the sites that constants alone make, such as those of a normalization."""
    return [site for site in sites if not site.makers]


def smooth(
    around: Surroundings, sites: Sequence[Site], added: Collection[str] = ()
) -> dict[str, tuple[float, float]]:
    """Scale the channels of every site that constants make, in place.

    Args:
        around: constants, plan and moments.
        sites: of the graph.
        added: tensors that products made which are not there yet; they have to pay.

    Returns:
        By a tensor of each site, the predicted noise over the signal before and after.
    """
    noise = {}
    for site in smoothing_sites(sites):
        name = next(iter(site.axes))
        factor, before, after = choose_factor(around, site, FAMILY)
        if name in added and after > PAYS * before:
            continue
        scale_site(around, site, factor)
        noise[name] = (before, after)
    return noise


def possible_products(
    graph: Graph, plan: Plan, constants: Constants, layers: Iterable[Layer], sites: Sequence[Site]
) -> list[Multiply]:
    """Return a product by ones for every float tensor that weights read and no constant scales.

    A tensor that was rounded where it was made is left out: scaling it afterwards mends nothing.
    """
    scalable = {name for site in sites for name in site.axes}
    readers: dict[str, list[Layer]] = {}
    for layer in layers:
        if layer.reads is not None and layer.op.kind == "matmul" and layer.input not in scalable:
            readers.setdefault(layer.input, []).append(layer)
    return [
        Multiply(
            tensor=name,
            axis=-1,
            factor=np.ones(input_channels(constants, read[0].linear), np.float32),
            readers=tuple(layer.op.name for layer in read),
        )
        for name, read in readers.items()
        if not _is_rounded(graph, plan, name)
    ]


def _is_rounded(graph: Graph, plan: Plan, tensor: str) -> bool:
    producer = graph.producer.get(tensor)
    if producer is None:
        return False
    outputs = plan.format(producer.id).outputs
    return bool(outputs) and outputs[producer.outputs.index(tensor)] is not None
