"""Successive halving: many plans on a few samples, the better half on twice as many, and so on.

After Jamieson and Talwalkar, Non-stochastic Best Arm Identification (2016). All plans of a round
see the same samples, so that what is hard about those does not decide between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from octavo.errors import OctavoError
from octavo.plan import Plan

LEAST = 2
"""Samples of a round, at least: an error is relative to what varies between samples."""


class Meter(Protocol):
    """What measures plans without labels, such as `octavo.search.probe.Probe`."""

    @property
    def samples(self) -> int:
        """How many samples there are."""
        ...

    @property
    def forwards(self) -> int:
        """How many sample forwards were spent so far."""
        ...

    def error(self, plan: Plan, samples: int | None = None) -> float:
        """Return the error of a plan on the first samples; None for all.

        Raises:
            OctavoError: it cannot be built.
        """
        ...


@dataclass(frozen=True)
class Alternative:
    """A plan among others.

    Attributes:
        name: what reports call it.
        plan: the plan.
    """

    name: str
    plan: Plan


@dataclass(frozen=True)
class Ranked:
    """What became of an alternative.

    Attributes:
        alternative: the plan and its name.
        error: on the most samples that it was measured on; infinite where it cannot be built.
        samples: how many those were, of which the meter may have rounded up to whole batches.
        reason: why it cannot be built; None where it can.
    """

    alternative: Alternative
    error: float
    samples: int
    reason: str | None = None


@dataclass(frozen=True)
class Ranking:
    """The alternatives in order.

    Attributes:
        order: the best first, those that cannot be built last. Errors of plans that were measured
            on different numbers of samples are not to be compared.
        forwards: how many sample forwards were spent.
    """

    order: tuple[Ranked, ...]
    forwards: int

    @property
    def best(self) -> Ranked | None:
        """The last one left, which was measured on all samples; None where none can be built."""
        return next((one for one in self.order if one.reason is None), None)


def halve(alternatives: Iterable[Alternative], meter: Meter, *, preferred: float = 1.0) -> Ranking:
    """Return the alternatives ranked by their error, the last one measured on all samples.

    Args:
        alternatives: plans; of equal ones, and among equal errors, the first is kept.
        meter: measures them.
        preferred: by what the error of the first is multiplied in comparisons: below 1, others have
            to be better by as much to be preferred to it.
    """
    before = meter.forwards
    left = _different(alternatives)
    first = left[0] if left else None
    beaten: list[Ranked] = []
    failed: list[Ranked] = []
    for samples in _schedule(len(left), meter.samples):
        if len(left) == 1 and samples < meter.samples:
            continue  # the others cannot be built
        measured = [_measure(one, meter, samples) for one in left]
        failed += [one for one in measured if one.reason is not None]
        standing = sorted(
            (one for one in measured if one.reason is None),
            key=lambda one: one.error * (preferred if one.alternative == first else 1.0),
        )
        keep = math.ceil(len(standing) / 2) if samples < meter.samples else 0
        beaten[:0] = standing[keep:]
        left = [one.alternative for one in standing[:keep]]
    return Ranking((*beaten, *failed), meter.forwards - before)


def _different(alternatives: Iterable[Alternative]) -> list[Alternative]:
    found: list[Alternative] = []
    for one in alternatives:
        if all(one.plan != other.plan for other in found):
            found.append(one)
    return found


def _schedule(count: int, samples: int) -> Sequence[int]:
    """Return the samples of every round, of which the last has all."""
    if not count:
        return []
    rounds = math.ceil(math.log2(count))
    sizes = [math.ceil(samples / 2 ** (rounds - number)) for number in range(rounds + 1)]
    return list(dict.fromkeys(min(max(size, LEAST), samples) for size in sizes))


def _measure(one: Alternative, meter: Meter, samples: int) -> Ranked:
    try:
        return Ranked(one, meter.error(one.plan, samples), samples)
    except OctavoError as error:
        return Ranked(one, math.inf, samples, str(error))
