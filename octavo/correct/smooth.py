"""SmoothQuant: outlier channels of an activation become larger channels of the weights behind it.

After Xiao et al. 2022, "SmoothQuant" (arXiv:2211.10438), equation 4: the channels of what a
normalization makes are divided by `s = max|X|**alpha / max|W|**(1 - alpha)`, in its own constants,
and the weights that read them are multiplied by it. The paper gives a whole model one alpha; here
each site gets its own, the one that is predicted to leave the least noise at the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from octavo.correct.factors import Exponents, choose_factor, scale_site
from octavo.correct.noise import Surroundings
from octavo.correct.sites import Site

FAMILY: tuple[Exponents, ...] = tuple((a / 20, 0.0, 1 - a / 20) for a in range(21))
"""Every alpha that is tried, with what it is in `octavo.correct.factors`."""


def smoothing_sites(sites: Sequence[Site]) -> list[Site]:
    """Return the sites that constants alone make, such as those of a normalization."""
    return [site for site in sites if not site.makers]


def smooth(around: Surroundings, sites: Sequence[Site]) -> dict[str, tuple[float, float]]:
    """Scale the channels of every site that a normalization makes, in place.

    Args:
        around: constants, plan and moments.
        sites: of the graph.

    Returns:
        By a tensor of each site, the predicted noise over the signal before and after.
    """
    noise = {}
    for site in smoothing_sites(sites):
        factor, before, after = choose_factor(around, site, FAMILY)
        scale_site(around, site, factor)
        noise[next(iter(site.axes))] = (before, after)
    return noise
