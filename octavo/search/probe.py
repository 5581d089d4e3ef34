"""How far a plan moves the outputs of the model, on a few samples without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeAlias

import numpy as np

from octavo.arrays import Array, Batch, batch_size
from octavo.backends.base import Session
from octavo.errors import NonFiniteError
from octavo.model import Model
from octavo.plan import Plan
from octavo.search.study.records import plan_key

WORST = 1e6
"""The error of a model whose outputs are not finite or of other sizes."""

EQUAL = 1e-9
"""Share of an output's energy below which its samples count as all the same."""

Noise: TypeAlias = Mapping[str, float]
"""The energy of INT8 minus float on one batch, by output."""


@dataclass
class Probe:
    """Measures the error of plans: noise over signal at the outputs, the mean over the outputs.

    An error is the energy of INT8 minus float over the energy of float around its mean over the
    samples. Errors of parts that are independent add up, which decibels do not. What a plan gave on
    a batch is remembered: asked again, or on more samples, it runs what is missing.

    Attributes:
        float_model: what plans are compared with.
        build: makes the model of a plan.
        open: makes a model ready to run.
        batches: the samples, at least two.
        forwards: how many sample forwards were spent.
        plans: how many models were measured.
    """

    float_model: Model
    build: Callable[[Plan], Model]
    open: Callable[[Model], Session]
    batches: Sequence[Batch]
    forwards: int = 0
    plans: int = 0
    _outputs: list[Mapping[str, Array]] = field(default_factory=list, repr=False)
    _signals: dict[int, dict[str, float]] = field(default_factory=dict, repr=False)
    _known: dict[str, list[Noise]] = field(default_factory=dict, repr=False)

    @property
    def samples(self) -> int:
        """How many samples one plan is measured on."""
        return sum(map(batch_size, self.batches))

    def error(self, plan: Plan, samples: int | None = None) -> float:
        """Return the error of a plan; `WORST` where its outputs cannot be compared.

        Args:
            plan: what is measured.
            samples: on the first batches that hold so many; None for all.

        Raises:
            OctavoError: it cannot be built.
        """
        count = self._count(samples)
        self._remember(count)
        if not plan.formats:
            return 0.0
        known = self._known.setdefault(plan_key(plan), [])
        if len(known) < count:
            known.extend(self._noise(self.build(plan), len(known), count))
        return self._error(known[:count])

    def model_error(self, built: Model) -> float:
        """Return the error of a model that was built already, on all samples."""
        count = len(self.batches)
        self._remember(count)
        return self._error(self._noise(built, 0, count))

    def _count(self, samples: int | None) -> int:
        """Return how many batches hold as many samples, two at least where there are as many."""
        if samples is None:
            return len(self.batches)
        sums = accumulate(map(batch_size, self.batches))
        count = next((n for n, held in enumerate(sums, 1) if held >= max(samples, 2)), None)
        return count or len(self.batches)

    def _noise(self, built: Model, first: int, end: int) -> list[Noise]:
        """Return the noise of each batch; infinite from the first on whose outputs are not finite.

        The batches after it are not run.
        """
        self.plans += 1
        names = self._names
        found: list[Noise] = []
        try:
            runs = self._run(built, self.batches[first:end])
            for outputs, expected in zip(runs, self._outputs[first:end], strict=True):
                found.append({one: _energy(outputs[one], expected[one]) for one in names})
        except NonFiniteError:
            broken = dict.fromkeys(names, np.inf) or {"": np.inf}
            found += [broken] * (end - first - len(found))
        return found

    def _error(self, noises: Sequence[Noise]) -> float:
        signals = self._signal(len(noises))
        names = {name for one in noises for name in one}
        totals = {name: sum(one.get(name, 0.0) for one in noises) for name in sorted(names)}
        shares = [_share(noise, signals.get(name, 0.0)) for name, noise in totals.items()]
        if max(shares, default=0.0) >= WORST:
            return WORST
        return float(np.mean(shares)) if shares else 0.0

    def _run(self, model: Model, batches: Sequence[Batch]) -> Iterator[Mapping[str, Array]]:
        session = self.open(model)
        for batch in batches:
            self.forwards += batch_size(batch)
            yield session.run(batch)

    def _remember(self, count: int) -> None:
        """Run the float model on the first batches, each once, and keep its outputs."""
        missing = self.batches[len(self._outputs) : count]
        if missing:
            self._outputs.extend(self._run(self.float_model, missing))

    @property
    def _names(self) -> list[str]:
        return [name for name, array in self._outputs[0].items() if array.dtype.kind == "f"]

    def _signal(self, count: int) -> dict[str, float]:
        """Return the energy of every output on the first batches."""
        if count not in self._signals:
            self._signals[count] = {
                name: _signal([one[name] for one in self._outputs[:count]]) for name in self._names
            }
        return self._signals[count]


def _share(noise: float, signal: float) -> float:
    if not np.isfinite(noise):
        return WORST
    return noise / signal if signal else WORST * float(noise > 0)


def _energy(values: Array, expected: Array) -> float:
    """Return the sum of squared differences, infinite where the shapes differ."""
    if values.shape != expected.shape:
        return np.inf
    finite = np.isfinite(expected)  # a mask of infinities is no signal
    difference = values[finite].astype(np.float64) - expected[finite]
    return float(np.sum(np.square(difference)))


def _signal(parts: Sequence[Array]) -> float:
    """Return the energy of an output around its mean over the samples.

    The constant part tells nothing about the input, and would hide errors in the rest. Where
    samples differ in shape, or are all the same, the whole energy is taken.
    """
    shapes = {part.shape[1:] for part in parts}
    values = [part.astype(np.float64) for part in parts]
    whole = sum(float(np.sum(np.square(part[np.isfinite(part)]))) for part in values)
    if len(shapes) > 1 or parts[0].ndim == 0:
        return whole
    joined = np.concatenate(values)
    joined = np.where(np.isfinite(joined), joined, 0.0)
    varying = float(np.sum(np.square(joined - joined.mean(axis=0))))
    return varying if varying > EQUAL * whole else whole
