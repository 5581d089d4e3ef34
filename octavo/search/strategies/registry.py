"""The strategies by the name that `--strategy` takes."""

from __future__ import annotations

from typing import get_args

from octavo.errors import UsageError, nearest
from octavo.search.strategies.base import Strategy
from octavo.search.strategies.fallback import Fallback
from octavo.search.strategies.sampled import Sampled, Sampler

STRATEGIES = ("fallback", *get_args(Sampler))


def strategy(name: str, seed: int = 0) -> Strategy:
    """Return a strategy by name.

    Args:
        name: one of `STRATEGIES`.
        seed: of what it draws.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "fallback":
        return Fallback()
    for sampler in get_args(Sampler):
        if sampler == name:
            return Sampled(sampler, seed)
    known = ", ".join(STRATEGIES)
    raise UsageError(f"there is no strategy {name!r}{nearest(name, STRATEGIES)}; known are {known}")
