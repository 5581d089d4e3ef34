"""Choosing the factors of a site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from octavo.arrays import FloatArray
from octavo.correct.constants import Constants, to_blocks
from octavo.correct.noise import Surroundings, predicted_noise
from octavo.correct.scale import apply_factor
from octavo.correct.sites import Site, finite
from octavo.graph import Graph

Exponents = tuple[float, float, float]
"""What activation extent, making weight and reading weight of a channel are raised to."""

FILLED = 0.8
"""How far towards the bound of a Clip a channel may be scaled that the Clip was not seen to cut."""


def extent_of_makers(constants: Constants, graph: Graph, site: Site) -> FloatArray:
    """Return the largest magnitude in each channel of the weights that make it, 1 without any."""
    if not site.makers:
        return np.ones(site.channels)
    return _extent(constants, graph, site, site.makers, (2, 3))


def extent_of_readers(constants: Constants, graph: Graph, site: Site) -> FloatArray:
    """Return the largest magnitude in each channel of the weights that read it."""
    return _extent(constants, graph, site, site.readers, (1, 3))


def _extent(
    constants: Constants, graph: Graph, site: Site, ops: Iterable[str], others: tuple[int, int]
) -> FloatArray:
    found = np.zeros(site.channels)
    for name in ops:
        linear = graph.op_by_name[name].linear
        assert linear is not None
        blocks = to_blocks(constants[linear.weight], linear)
        found = np.maximum(found, np.abs(blocks).max(axis=others).reshape(-1))
    return found


def choose_factor(
    around: Surroundings, site: Site, tried: Iterable[Exponents]
) -> tuple[FloatArray, float, float]:
    """Return the factor with the least predicted noise, and the noise without and with it.

    Args:
        around: constants and moments as they are now.
        site: the site.
        tried: the family that is searched, see `factors`.

    Returns:
        The factor, ones where none is better; the noise as things are; the noise with the factor.
    """
    best = np.ones(site.channels)
    before = after = predicted_noise(around, site, best)
    for factor in factors(around, site, tried):
        noise = predicted_noise(around, site, factor)
        if noise < after:
            best, after = factor, noise
    return best, before, after


def factors(around: Surroundings, site: Site, tried: Iterable[Exponents]) -> Iterator[FloatArray]:
    """Yield factors `activation**-a * making**-m * reading**r`, for exponents that add up to 1.

    With (1, 0, 0) all channels of the activation get one range. (0, 1/2, 1/2) is equation 11 of
    Nagel et al. 2019, and (alpha, 0, 1 - alpha) is equation 4 of Xiao et al. 2022. The largest
    magnitude of the activation stays what it is.
    """
    active = np.max([around.moments[_input(around, name)].extent for name in site.readers], axis=0)
    making = extent_of_makers(around.constants, around.graph, site)
    reading = extent_of_readers(around.constants, around.graph, site)
    alive = (active > 0) & (making > 0) & (reading > 0)
    if not alive.any():
        return
    for a, m, r in tried:
        factor = np.ones(site.channels)
        factor[alive] = active[alive] ** -a * making[alive] ** -m * reading[alive] ** r
        factor[alive] *= active[alive].max() / (active[alive] * factor[alive]).max()
        _fit_others(factor, alive, active, making, reading)
        yield within_bounds(around, site, factor)


def _fit_others(
    factor: FloatArray,
    alive: NDArray[np.bool_],
    active: FloatArray,
    making: FloatArray,
    reading: FloatArray,
) -> None:
    """Choose factors for the channels without signal, in place, so that they widen no range.

    What nothing reads is brought down to the range of the activation. The weights that read a
    channel which was zero throughout are brought down to those that read the others, as far as the
    weights that make it allow.
    """
    unread, silent = (reading == 0) & (active > 0), (active == 0) & (reading > 0)
    factor[unread] = np.minimum(1.0, (active * factor)[alive].max() / active[unread])
    needed = reading[silent] / (reading / factor)[alive].max()
    room = (making * factor)[alive].max() / np.maximum(making[silent], 1e-300)
    factor[silent] = np.maximum(1.0, np.minimum(needed, room))


def _input(around: Surroundings, op: str) -> str:
    return around.graph.op_by_name[op].inputs[0]


def within_bounds(around: Surroundings, site: Site, factor: FloatArray) -> FloatArray:
    """Return factors with which no Clip cuts a value it did not cut, or the other way round.

    A channel that a Clip was seen to cut keeps its scale; another one may come as near to the bound
    as `FILLED` says. This preserves the function on the samples that were seen, and on others as
    long as they exceed the largest value seen in a channel by no more than what was left free.
    """
    result = factor.copy()
    for name, bounds in site.bounds.items():
        read = next(op for op in around.graph.ops if name in op.outputs).inputs[0]
        moments = around.moments[read]
        for bound, reached in zip(bounds, (moments.low, moments.high), strict=True):
            if finite(bound):
                share = np.maximum(reached / bound, 0.0)
                with np.errstate(divide="ignore"):  # a side that is not reached has any room
                    room = np.maximum(FILLED, share) / share
                result = np.where(share >= 1, 1.0, np.minimum(result, room))
    return result


def scale_site(around: Surroundings, site: Site, factor: FloatArray) -> None:
    """Scale constants and moments of a site, in place."""
    apply_factor(around.constants, around.graph, site, factor)
    for name in site.axes:
        around.moments[name] = around.moments[name].times(factor)
        around.factors[name] = around.factors.get(name, np.ones(site.channels)) * factor
