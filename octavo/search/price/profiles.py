"""Profiles of whole plans, each timed in turns with the float model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from octavo.arrays import Batch
from octavo.backends.base import Backend, Ranges, Session
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target

ROUNDS = 4
LEAST_CALLS = 3
BLOCK = 0.05
"""A plan and the float model take turns in blocks of this many seconds, and of `LEAST_CALLS`."""


@dataclass(frozen=True)
class PlanProfile:
    """Where the time of one plan goes.

    Attributes:
        plan: the plan.
        seconds: of one run, without a profiler.
        groups: seconds of the kernels of each group, by id; absent is 0.
        borders: seconds of kernels that belong to no group.
        float_seconds: of one run of the float model at that time; 0 where it is not known.
    """

    plan: Plan
    seconds: float
    groups: Mapping[str, float]
    borders: float
    float_seconds: float = 0.0

    def times(self, factor: float) -> PlanProfile:
        """Return the profile of a machine that takes `factor` times as long for everything."""
        groups = {name: factor * seconds for name, seconds in self.groups.items()}
        return PlanProfile(
            self.plan,
            factor * self.seconds,
            groups,
            factor * self.borders,
            factor * self.float_seconds,
        )


def levelled(profiles: Sequence[PlanProfile]) -> list[PlanProfile]:
    """Return profiles as if the machine had been as fast all along as it was half of the time.

    Each is scaled by the time of the float model beside it.
    """
    known = [one.float_seconds for one in profiles if one.float_seconds > 0]
    usual = float(np.median(known)) if known else 0.0
    return [one.times(usual / one.float_seconds if one.float_seconds else 1.0) for one in profiles]


@dataclass
class Profiler:
    """Builds plans and profiles them.

    The float model is measured in turns with each plan, so that a machine that becomes slower on
    the way does not make later plans look worse, see `levelled`.

    Attributes:
        backend: builds and runs.
        model: the float model.
        graph: its description.
        target: what is timed.
        batch: the inputs of every call.
        ranges: gives the ranges that a plan needs.
    """

    backend: Backend
    model: Model
    graph: Graph
    target: Target
    batch: Batch
    ranges: Callable[[Plan], Ranges]
    _float: Session | None = field(default=None, init=False, repr=False)
    _float_seconds: list[float] = field(default_factory=list, init=False, repr=False)

    def profile(self, plan: Plan) -> PlanProfile:
        """Build a plan, time it and profile its kernels.

        Raises:
            OctavoError: it cannot be built or run.
        """
        built = self.build(plan)
        ratio, float_seconds = self._compare(built)
        groups: dict[str, float] = {}
        borders = 0.0
        for kernel in self.backend.profile(self.model, built, self.batch, self.target):
            if not kernel.groups:
                borders += kernel.seconds
            for name in kernel.groups:
                share = kernel.seconds / len(kernel.groups)
                groups[name] = groups.get(name, 0.0) + share
        return PlanProfile(plan, ratio * float_seconds, groups, borders, float_seconds)

    def build(self, plan: Plan) -> Model:
        """Return the model of a plan, the float one for a plan without formats."""
        if not plan.formats:
            return self.model
        return self.backend.build(self.model, plan, self.ranges(plan), self.target)

    def time(self, built: Model) -> float:
        """Return the seconds of one run, corrected by what the float model takes meanwhile.

        They are relative to the median of what it took since the first profile.
        """
        ratio, _ = self._compare(built)
        return ratio * float(np.median(self._float_seconds))

    def _compare(self, built: Model) -> tuple[float, float]:
        """Return how many times as long as the float model a plan takes, and the float seconds."""
        if self._float is None:
            self._float = self.backend.open(self.model, self.target)
            self._block(self._float)
        session = self.backend.open(built, self.target)
        self._block(session)
        pairs = [(self._block(session), self._block(self._float)) for _ in range(ROUNDS)]
        ours, theirs = np.array(pairs).T
        self._float_seconds.extend(theirs)
        return float(np.median(ours / theirs)), float(np.median(theirs))

    def _block(self, session: Session) -> float:
        """Return the median time of the calls of one block."""
        taken: list[float] = []
        begun = now = time.perf_counter()
        while len(taken) < LEAST_CALLS or now - begun < BLOCK:
            session.run(self.batch)
            later = time.perf_counter()
            taken.append(later - now)
            now = later
        return float(np.median(taken))
