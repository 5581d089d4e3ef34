"""Prices from profiles: non-negative least squares over the kernels and totals of whole plans.

Runtimes fuse across groups, so that a group in isolation tells little. In the profile of a whole
plan each group shows its kernels, what belongs to no group is the borders, and the run without the
profiler gives the sum. All three are equations in the same prices, weighed by how far they can be
trusted. Prices are never negative (Lawson and Hanson, Solving Least Squares Problems, 1974).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from octavo.arrays import FloatArray
from octavo.graph import Graph
from octavo.search.price.features import (
    RUN,
    border_features,
    features,
    group_feature,
    is_border,
    pattern_key,
)
from octavo.search.price.prices import Prices
from octavo.search.price.profiles import PlanProfile
from octavo.search.results import LINEAR

KERNEL = (0.05, 2e-6)
BORDERS = (0.05, 10e-6)
TOTAL = (0.01, 5e-6)
KNOWN = (0.10, 2e-6)
"""Standard errors of the equations as (relative, seconds): the kernels of a group, all borders of a
plan, its whole time, and a price that an earlier fit found."""

POOLING = 0.5
"""How far the price of one kind of border may lie from the price of all, relative to it."""

LEAST_MODEL_ERROR = 0.01
UNTRIED = 0.1
"""The relative error of predictions that is assumed at least, and where no plan could be left out
since each has shown something of its own."""


@dataclass(frozen=True)
class _Equation:
    """Amounts of features whose prices add up to seconds, with a standard error."""

    amounts: Mapping[str, float]
    seconds: float
    error: float


def fit(
    graph: Graph, profiles: Sequence[PlanProfile], known: Mapping[str, float] | None = None
) -> Prices:
    """Return the prices that explain profiles best.

    The model's error is the root mean square of the relative errors of the plans, each predicted
    by prices that were fitted without it, as far as the others know its groups.

    Args:
        graph: the model that was profiled.
        profiles: of whole plans, the float one among them.
        known: prices of earlier fits by feature, in seconds.
    """
    known = {name: seconds for name, seconds in (known or {}).items() if is_known(name, seconds)}
    prices = _fit(graph, profiles, known)
    left_out = list(_left_out(graph, profiles, known))
    spread = math.sqrt(float(np.mean(np.square(left_out)))) if left_out else UNTRIED
    floats = [one.seconds for one in profiles if not one.plan.formats]
    return Prices(
        prices.names,
        prices.seconds,
        prices.covariance,
        max(spread, LEAST_MODEL_ERROR),
        floats[0] if floats else 0.0,
        len(profiles),
    )


def _left_out(
    graph: Graph, profiles: Sequence[PlanProfile], known: Mapping[str, float]
) -> Iterator[float]:
    """Yield the relative error of each plan whose groups others have shown, predicted by those."""
    for place, profile in enumerate(profiles):
        others = [*profiles[:place], *profiles[place + 1 :]]
        prices = _fit(graph, others, known) if others else None
        if prices is not None and all(map(prices.knows, features(graph, profile.plan))):
            yield prices.predict(graph, profile.plan).seconds / profile.seconds - 1


def _fit(graph: Graph, profiles: Sequence[PlanProfile], known: Mapping[str, float]) -> Prices:
    equations = [one for profile in profiles for one in _equations(graph, profile)]
    patterns = {pattern_key(group) for group in graph.groups}
    equations += [
        _Equation({name: 1.0}, seconds, _error(seconds, KNOWN))
        for name, seconds in known.items()
        if is_border(name) or name.split(" ")[0] in patterns
    ]
    names = tuple(dict.fromkeys(name for one in equations for name in one.amounts))
    places = {name: place for place, name in enumerate(names)}
    matrix, target = _system(equations, places)
    pooled, zeros = _pooled(names, equations)
    solved = _solve(matrix, target, pooled, zeros)
    seconds = solved[: len(names)]
    return Prices(names, seconds, _covariance(matrix, target, pooled, solved), 0.0)


def _equations(graph: Graph, profile: PlanProfile) -> Iterator[_Equation]:
    for group in graph.groups:
        seconds = profile.groups.get(group.id, 0.0)
        name = group_feature(group, profile.plan.format(group.id))
        yield _Equation({name: 1.0}, seconds, _error(seconds, KERNEL))
    borders = border_features(graph, profile.plan)
    if borders:
        yield _Equation(borders, profile.borders, _error(profile.borders, BORDERS))
    everything = features(graph, profile.plan)
    yield _Equation(everything, profile.seconds, _error(profile.seconds, TOTAL))


def _error(seconds: float, trust: tuple[float, float]) -> float:
    relative, absolute = trust
    return math.hypot(relative * seconds, absolute)


def _system(
    equations: Iterable[_Equation], places: Mapping[str, int]
) -> tuple[FloatArray, FloatArray]:
    rows = list(equations)
    matrix = np.zeros((len(rows), len(places)))
    target = np.zeros(len(rows))
    for row, one in enumerate(rows):
        for name, amount in one.amounts.items():
            matrix[row, places[name]] = amount / one.error
        target[row] = one.seconds / one.error
    return matrix, target


def _pooled(names: Sequence[str], equations: Iterable[_Equation]) -> tuple[FloatArray, FloatArray]:
    """Return equations that draw the prices of borders to a common one, the last unknown.

    Few plans cannot tell kinds of borders apart. Without it one kind gets all of the time.
    """
    kinds = [place for place, name in enumerate(names) if is_border(name)]
    seen = [
        (sum(one.amounts.values()), one.seconds)
        for one in equations
        if len(one.amounts) > 0 and all(is_border(name) for name in one.amounts)
    ]
    amount = sum(one for one, _ in seen)
    common = sum(seconds for _, seconds in seen) / amount if amount else 0.0
    matrix = np.zeros((len(kinds), len(names) + 1))
    if common > 0:
        for row, place in enumerate(kinds):
            matrix[row, place] = 1 / (POOLING * common)
            matrix[row, -1] = -1 / (POOLING * common)
    return matrix, np.zeros(len(kinds))


def _solve(
    matrix: FloatArray, target: FloatArray, pooled: FloatArray, zeros: FloatArray
) -> FloatArray:
    wide = np.hstack([matrix, np.zeros((len(matrix), 1))])
    scale = np.linalg.norm(np.vstack([wide, pooled]), axis=0)
    scale[scale == 0] = 1.0
    solution, _ = nnls(np.vstack([wide, pooled]) / scale, np.concatenate([target, zeros]))
    seconds: FloatArray = solution / scale
    return seconds


def _covariance(
    matrix: FloatArray, target: FloatArray, pooled: FloatArray, solved: FloatArray
) -> FloatArray:
    """Return the covariance of the prices, those at zero taken as known.

    The equations of the pool count: what plans cannot tell apart is as sure as they make it.
    """
    count = len(solved) - 1
    free = solved > 0
    wide = np.hstack([matrix, np.zeros((len(matrix), 1))])
    used = np.vstack([wide, pooled])[:, free]
    scale = np.linalg.norm(used, axis=0)
    scale[scale == 0] = 1.0
    used = used / scale
    residual = float(np.mean(np.square(matrix @ solved[:count] - target)))
    covariance = np.zeros((count + 1, count + 1))
    inverse = np.linalg.pinv(used.T @ used, hermitian=True) * max(residual, 1.0)
    covariance[np.ix_(free, free)] = inverse / np.outer(scale, scale)
    found: FloatArray = covariance[:count, :count]
    return found


def known_prices(prices: Prices) -> dict[str, float]:
    """Return what of prices holds for other models too: not the overhead of a run."""
    found = {name: prices.of(name) for name in prices.names if name != RUN}
    return {name: seconds for name, seconds in found.items() if is_known(name, seconds)}


def is_known(feature: str, seconds: float) -> bool:
    """Return whether a price of an earlier fit tells anything.

    A border or a product of nothing at all is none that is free, but one that a few plans could
    not tell from others. What only moves numbers may be free.
    """
    return seconds > 0 or not (is_border(feature) or feature.split("-")[0] in LINEAR)
