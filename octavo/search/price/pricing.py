"""The whole of pricing: which plans are profiled, and when it is enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from octavo.errors import OctavoError
from octavo.plan import Plan
from octavo.search.price.features import is_border
from octavo.search.price.fit import fit, is_known
from octavo.search.price.plans import next_plan, plan_features, wanted_features
from octavo.search.price.prices import Prices
from octavo.search.price.profiles import PlanProfile, Profiler, levelled
from octavo.search.space import Space

MIXED = 10
FEW = 3
"""How many mixed plans are profiled, and how many where all prices are known from before."""

LIMIT = 45.0


def price(
    space: Space,
    profiler: Profiler,
    whole: Sequence[Plan],
    *,
    known: Mapping[str, float] | None = None,
    seconds: float = LIMIT,
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Prices, list[PlanProfile]]:
    """Profile the float plan, whole plans and mixed ones, and fit prices.

    Where a plan takes long to build, as with a compiler behind it, fewer mixed plans are profiled:
    those that show most of what was not seen.

    Args:
        space: what plans are made of.
        profiler: builds and times them.
        whole: plans that quantize as much as they can, profiled in any case.
        known: prices of earlier fits by feature.
        seconds: no further plan is begun when it would pass this time; the float plan, those of
            `whole` and one mixed plan are profiled all the same.
        seed: of the mixed plans.
        report: is told of plans that do not run.
    """
    begun = time.monotonic()
    known = {name: seconds for name, seconds in (known or {}).items() if is_known(name, seconds)}
    rng = np.random.default_rng(seed)
    profiles = [profiler.profile(Plan())]
    tried = [Plan(), *whole]
    for plan in whole:
        _add(profiler, plan, profiles, report)
    seen = {feature for plan in tried for feature in plan_features(space, plan)}
    enough = FEW if _knows(space, known) else MIXED
    for done in range(enough if space.choices else 0):
        spent = time.monotonic() - begun
        if done and spent * (len(profiles) + 1) / len(profiles) > seconds:
            break
        mixed = next_plan(space, rng, seen, tried)
        if mixed is None:
            break
        tried.append(mixed)
        _add(profiler, mixed, profiles, report)
        seen |= plan_features(space, mixed)
    profiles = levelled(profiles)
    return fit(space.graph, profiles, known), profiles


def _add(
    profiler: Profiler, plan: Plan, profiles: list[PlanProfile], report: Callable[[str], None]
) -> None:
    try:
        profiles.append(profiler.profile(plan))
    except OctavoError as error:
        report(f"a plan with {len(plan.formats)} groups in INT8 was not priced: {error}")


def _knows(space: Space, known: Mapping[str, float]) -> bool:
    borders = any(is_border(name) for name in known)
    return borders and wanted_features(space) <= known.keys()
