"""One trial as a study holds it, and its plan as parameters that a dashboard can plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from octavo.plan import Plan, RangeMethod

State: TypeAlias = Literal["running", "finished", "failed", "lost"]
"""`failed`: the plan cannot be built, run or judged, and would not the next time. `lost`: its
process ended before it did."""

RANGES = "recipe: ranges"
CORRECTED = "recipe: corrections"


@dataclass(frozen=True)
class Record:
    """One trial.

    Attributes:
        number: counted from 0 in its study.
        name: what reports call it.
        plan: what was tried.
        state: how far it came.
        measurements: what it gave; empty unless it is finished.
        reason: why it failed or was lost; None otherwise.
        seed: of what is drawn in it; None where nothing is.
        started: when it began, in UTC.
        ended: when it ended, in UTC; None while it runs.
    """

    number: int
    name: str
    plan: Plan
    state: State
    measurements: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    seed: int | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def seconds(self) -> float:
        """How long the trial itself took; NaN while it runs."""
        if self.started is None or self.ended is None:
            return math.nan
        return (self.ended - self.started).total_seconds()


def plan_key(plan: Plan) -> str:
    """Return a text that two plans share exactly if they ask for the same model.

    A group that is named with FP32 and one that is not named are the same.
    """
    formats = {name: one.to_json() for name, one in plan.formats.items() if one.compute != "fp32"}
    return json.dumps([formats, plan.recipe.to_json()], sort_keys=True)


def parameters(
    plan: Plan, choices: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the value and the possible values of each parameter of a plan.

    Args:
        plan: the plan.
        choices: the possible names of formats by group id, for the groups that are decided on. A
            group with a format of another name is left out.
    """
    found = {}
    for group, names in choices.items():
        value = plan.format(group).name
        if value in names:
            found[group] = (value, tuple(names))
    corrected = "yes" if plan.recipe.corrections else "no"
    return found | {
        RANGES: (plan.recipe.ranges, tuple(get_args(RangeMethod))),
        CORRECTED: (corrected, ("no", "yes")),
    }


def objectives(measurements: Mapping[str, Any]) -> tuple[float, float]:
    """Return seconds (measured, else predicted) and loss; infinity where one is not known."""
    seconds = measurements.get("seconds")
    seconds = measurements.get("predicted_seconds") if seconds is None else seconds
    return _known(seconds), _known(measurements.get("loss"))


def _known(value: object) -> float:
    known = isinstance(value, int | float) and not math.isnan(value)
    return float(value) if known else math.inf  # type: ignore[arg-type]
