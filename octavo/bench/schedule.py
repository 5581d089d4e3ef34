"""How long a block lasts and when enough blocks were run."""

from __future__ import annotations

from dataclasses import dataclass

from octavo.errors import UsageError

MIN_BLOCKS = 8
"""The fewest blocks of a model, whatever the time; the bootstrap needs some to draw from."""

WIDTH = 0.05
"""The relative width at which a 95 % interval is narrow enough."""

_BLOCK_SECONDS = 0.1
_BLOCK_CALLS = 5
_LEAD_IN_SECONDS = 0.01
_LEAD_IN_SHARE = 20
_START_SECONDS = 0.002
_START_SECONDS_EACH = 0.0002


@dataclass(frozen=True)
class Schedule:
    """The times of one benchmark, in seconds.

    Attributes:
        block: how long a block lasts; the call in which that time ends is completed.
        lead_in: calls of this time are not counted at the start of a block: they fill the caches
            that another model has emptied.
        budget: the time after which no further block begins, once there are `MIN_BLOCKS`.
        latency: the longest time of one call.
    """

    block: float
    lead_in: float
    budget: float
    latency: float

    @property
    def expected(self) -> float:
        """How long a block may take with all that belongs to it."""
        return self.block + self.lead_in + 2 * self.latency


def check_seconds(seconds: float) -> None:
    """Refuse a time in which nothing can be measured.

    Raises:
        UsageError: it is not positive.
    """
    if not seconds > 0:
        raise UsageError(f"cannot measure for {seconds:g} seconds; give a time above 0")


def plan_schedule(latency: float, seconds: float, sides: int) -> Schedule:
    """Fit the blocks to a model's latency and to the time there is.

    Args:
        latency: the longest time of one call of the models, seconds.
        seconds: the time for all blocks of all models.
        sides: the number of models that take turns.
    """
    share = seconds / (sides * MIN_BLOCKS)
    block = min(max(_BLOCK_SECONDS, _BLOCK_CALLS * latency), share)
    # Where one call takes long, it is little longer on cold caches, and a lead-in costs much.
    lead_in = _LEAD_IN_SECONDS if latency < _LEAD_IN_SHARE * _LEAD_IN_SECONDS else 0.0
    return Schedule(block, min(lead_in, block / 5), seconds, latency)


def start_delay(instances: int) -> float:
    """Return how long it takes until all instances have heard when they are to begin."""
    return _START_SECONDS + _START_SECONDS_EACH * instances if instances > 1 else 0.0


def warm_up_seconds(seconds: float) -> float:
    """Return how long a model is warmed up before it is measured for `seconds`."""
    return min(1.0, seconds / 10)
