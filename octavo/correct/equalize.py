"""Cross-layer equalization: the channels between two convolutions get one range.

After Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"
(arXiv:1906.04721), section 4.1. A channel may be scaled wherever a positively homogeneous function
lies between two products, which holds for pools and additions too; see `octavo.correct.sites`.

The paper chooses factors by the weights alone. That is best where there are no data, and for one
weight scale per tensor. With a scale per channel the weights that make a channel no longer matter,
and what is to be evened out are the ranges of the activation; the factors are then chosen from a
family that holds the paper's by the noise they are predicted to leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from octavo.correct.constants import Constants
from octavo.correct.factors import (
    Exponents,
    choose_factor,
    extent_of_makers,
    extent_of_readers,
    scale_site,
)
from octavo.correct.noise import Surroundings
from octavo.correct.scale import apply_factor
from octavo.correct.sites import Site
from octavo.graph import Graph

FAMILY: tuple[Exponents, ...] = tuple(
    (a / 4, m / 4, (4 - a - m) / 4) for a, m in product(range(5), repeat=2) if a + m <= 4
)
"""The family that is searched, in quarters."""

SWEEPS = 3
"""Passes over all sites; a third one changes predicted noise by less than 1 %."""


def equalization_sites(sites: Sequence[Site]) -> list[Site]:
    """Return the sites that convolutions or matrix products make."""
    return [site for site in sites if site.makers]


def equalize_by_weights(
    constants: Constants, graph: Graph, sites: Sequence[Site], *, closeness: float = 1e-3
) -> None:
    """Make the range of every channel the same in the weights around it, in place.

    Equations 9 to 11 of the paper: with ranges r1 and r2 of a channel in the weights that make it
    and that read it, its factor is sqrt(r2 / r1), after which both ranges are sqrt(r1 * r2). Pairs
    are repeated until nothing changes. Sites with a Clip are left out: without data there is no
    telling what it cuts.

    Args:
        constants: of the model.
        graph: its description.
        sites: of the graph.
        closeness: the largest logarithm of a factor at which it ends.
    """
    free = [site for site in equalization_sites(sites) if not site.bounds]
    largest = np.inf if free else 0.0
    for _ in range(100):
        if largest <= closeness:
            return
        largest = max(_equalize_pair(constants, graph, site) for site in free)


def _equalize_pair(constants: Constants, graph: Graph, site: Site) -> float:
    """Equalize one site and return the largest logarithm of a factor."""
    making = extent_of_makers(constants, graph, site)
    reading = extent_of_readers(constants, graph, site)
    alive = (making > 0) & (reading > 0)
    factor = np.ones(site.channels)
    factor[alive] = np.sqrt(reading[alive] / making[alive])
    apply_factor(constants, graph, site, factor)
    return float(np.abs(np.log(factor)).max())


def equalize(around: Surroundings, sites: Sequence[Site]) -> dict[str, tuple[float, float]]:
    """Scale the channels of every site to the least predicted noise, in place.

    Args:
        around: constants, plan and moments.
        sites: of the graph.

    Returns:
        By a tensor of each site, the predicted noise over the signal before and after.
    """
    chosen = equalization_sites(sites)
    noise: dict[str, tuple[float, float]] = {}
    for _ in range(SWEEPS):
        for site in chosen:
            factor, before, after = choose_factor(around, site, FAMILY)
            scale_site(around, site, factor)
            name = next(iter(site.axes))
            noise[name] = (noise.get(name, (before, 0.0))[0], after)
    return noise
