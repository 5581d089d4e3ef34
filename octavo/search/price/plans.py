"""Mixed plans that tell the prices of groups and borders apart."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from octavo.graph import Group
from octavo.plan import FP32, Format, Plan
from octavo.search.price.features import group_feature
from octavo.search.space import Space

STAYS = (0.5, 0.7, 0.9)
"""Chances that a group is quantized if and only if the one before it is: short and long runs."""

BEST = 0.7
FOLLOWS = 0.8
DRAWN = 12
"""How many random plans are looked at to find the one that shows most that was not seen yet."""


def random_plan(space: Space, rng: np.random.Generator) -> Plan:
    """Return a plan of runs of quantized groups.

    Groups that only keep INT8 between others mostly do what those do that they read.
    """
    stays = rng.choice(STAYS)
    quantized = bool(rng.random() < 0.5)
    formats: dict[str, Format] = {}
    for group in space.graph.groups:
        if rng.random() >= stays:
            quantized = not quantized
        wanted = quantized
        if group.role != "compute" and rng.random() < FOLLOWS:
            wanted = _reads_quantized(space, group, formats)
        options = space.choices.get(group.id, (FP32,))
        others = [one for one in options if not one.is_float]
        if others and (wanted or FP32 not in options):
            best = rng.random() < BEST
            formats[group.id] = others[0 if best else int(rng.integers(len(others)))]
    return space.plan(formats)


def _reads_quantized(space: Space, group: Group, formats: Collection[str]) -> bool:
    producers = [space.graph.producer.get(name) for name in group.inputs]
    made = [one.id in formats for one in producers if one is not None]
    return bool(made) and 2 * sum(made) >= len(made)


def plan_features(space: Space, plan: Plan) -> set[str]:
    """Return the features of the groups of a plan that have a choice."""
    groups = space.graph.group_by_id
    return {group_feature(groups[name], plan.format(name)) for name in space.choices}


def wanted_features(space: Space) -> set[str]:
    """Return every feature that a plan of this space may have."""
    groups = space.graph.group_by_id
    return {
        group_feature(groups[name], one)
        for name, formats in space.choices.items()
        for one in formats
    }


def next_plan(
    space: Space, rng: np.random.Generator, seen: Collection[str], tried: Collection[Plan] = ()
) -> Plan | None:
    """Return the random plan that shows most features which no plan has shown yet.

    Args:
        space: what plans are made of.
        rng: the source of chance.
        seen: the features of earlier plans.
        tried: plans that are not to be repeated.

    Returns:
        the plan; None where nothing new was drawn, as in a space of very few plans.
    """
    drawn = [random_plan(space, rng) for _ in range(DRAWN)]
    known = [plan.formats for plan in tried]
    new = [plan for plan in drawn if plan.formats not in known]
    return max(new, key=lambda plan: len(plan_features(space, plan) - set(seen)), default=None)
