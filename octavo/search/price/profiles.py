"""Profiles of whole plans, each timed in turns with the float model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
    """

    plan: Plan
    seconds: float
    groups: Mapping[str, float]
    borders: float


@dataclass
class Profiler:
    """Builds plans and profiles them.

    Times are relative to the float model, measured in turns with each plan, so that a machine that
    becomes slower on the way does not make later plans look worse.

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
        seconds = self.time(built)
        groups: dict[str, float] = {}
        borders = 0.0
        for kernel in self.backend.profile(self.model, built, self.batch, self.target):
            if not kernel.groups:
                borders += kernel.seconds
            for name in kernel.groups:
                share = kernel.seconds / len(kernel.groups)
                groups[name] = groups.get(name, 0.0) + share
        return PlanProfile(plan, seconds, groups, borders)

    def build(self, plan: Plan) -> Model:
        """Return the model of a plan, the float one for a plan without formats."""
        if not plan.formats:
            return self.model
        return self.backend.build(self.model, plan, self.ranges(plan), self.target)

    def time(self, built: Model) -> float:
        """Return the seconds of one run, corrected by what the float model takes meanwhile."""
        if self._float is None:
            self._float = self.backend.open(self.model, self.target)
            self._block(self._float)
        session = self.backend.open(built, self.target)
        self._block(session)
        ratios = []
        for _ in range(ROUNDS):
            ours, theirs = self._block(session), self._block(self._float)
            self._float_seconds.append(theirs)
            ratios.append(ours / theirs)
        return float(np.median(ratios) * np.median(self._float_seconds))

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
