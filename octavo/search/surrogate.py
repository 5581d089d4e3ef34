"""From the label-free error of a plan to the accuracy it loses, learned from evaluated plans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

AIM = 0.5
"""Share of the accepted loss that a solved plan should have: the rest is for what the surrogate
does not know."""

SLOPE = 0.75
"""The assumed power by which losses grow with error energy, before two plans tell. Decisions that
flip grow with its root, losses of regressions in proportion."""

SLOPES = (0.5, 1.0)


@dataclass(frozen=True)
class Seen:
    """A plan that was evaluated.

    Attributes:
        error: its label-free error, see `octavo.search.probe`.
        loss: the accuracy it lost over the accepted loss; above 1 it was not accepted.
    """

    error: float
    loss: float


def allowed_error(seen: Sequence[Seen], aim: float = AIM) -> float | None:
    """Return the largest error that should keep a plan well within the tolerance.

    The loss is taken to be a power of the error, through the plan beyond the tolerance whose loss
    is least; where a plan with less error was evaluated too, the two give the power.

    Args:
        seen: plans that were evaluated, at least one of them beyond the tolerance.
        aim: share of the accepted loss that it should have.

    Returns:
        the error; None where nothing was seen to learn from.
    """
    useful = [one for one in seen if one.error > 0 and math.isfinite(one.loss)]
    beyond = [one for one in useful if one.loss > 1]
    if not beyond:
        return None
    nearest = min(beyond, key=lambda one: (one.error, one.loss))
    wanted: float = nearest.error * (aim / nearest.loss) ** (1 / _slope(useful))
    held = [one.error for one in useful if one.loss <= aim]
    return max([wanted, *held])


def predicted_loss(seen: Sequence[Seen], error: float) -> float | None:
    """Return the loss over the accepted one that a plan with this error should have."""
    useful = [one for one in seen if one.error > 0 and math.isfinite(one.loss) and one.loss > 0]
    if not useful or error < 0:
        return None
    nearest = min(useful, key=lambda one: abs(math.log(max(error, 1e-300) / one.error)))
    return float(nearest.loss * (error / nearest.error) ** _slope(useful))


def _slope(seen: Sequence[Seen]) -> float:
    """Return the power of a loss, from the plans with the least and the most error."""
    lossy = sorted((one for one in seen if one.loss > 0), key=lambda one: one.error)
    if len(lossy) < 2 or lossy[-1].error < 1.5 * lossy[0].error:
        return SLOPE
    first, last = lossy[0], lossy[-1]
    slope = math.log(last.loss / first.loss) / math.log(last.error / first.error)
    return min(max(slope, SLOPES[0]), SLOPES[1])
