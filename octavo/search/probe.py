"""How far a plan moves the outputs of the model, on a few samples without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from octavo.arrays import Array, Batch, batch_size
from octavo.backends.base import Session
from octavo.errors import NonFiniteError
from octavo.model import Model
from octavo.plan import Plan

WORST = 1e6
"""The error of a model whose outputs are not finite or of other sizes."""

EQUAL = 1e-9
"""Share of an output's energy below which its samples count as all the same."""


@dataclass
class Probe:
    """Measures the error of plans: noise over signal at the outputs, the mean over the outputs.

    An error is the energy of INT8 minus float over the energy of float around its mean over the
    samples. Errors of parts that are independent add up, which decibels do not.

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
    _signals: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def samples(self) -> int:
        """How many samples one plan is measured on."""
        return sum(batch_size(batch) for batch in self.batches)

    def error(self, plan: Plan) -> float:
        """Return the error of a plan; `WORST` where its outputs cannot be compared.

        Raises:
            OctavoError: it cannot be built.
        """
        if not self._outputs:
            self._remember()
        if not plan.formats:
            return 0.0
        return self.model_error(self.build(plan))

    def model_error(self, built: Model) -> float:
        """Return the error of a model that was built already."""
        if not self._outputs:
            self._remember()
        self.plans += 1
        noise = dict.fromkeys(self._signals, 0.0)
        try:
            for outputs, expected in zip(self._run(built), self._outputs, strict=True):
                for name in noise:
                    noise[name] += _energy(outputs[name], expected[name])
        except NonFiniteError:
            return WORST
        shares = [self._share(name, energy) for name, energy in noise.items()]
        if max(shares, default=0.0) >= WORST:
            return WORST
        return float(np.mean(shares)) if shares else 0.0

    def _share(self, name: str, noise: float) -> float:
        signal = self._signals[name]
        if not np.isfinite(noise):
            return WORST
        return noise / signal if signal else WORST * float(noise > 0)

    def _run(self, model: Model) -> Iterator[Mapping[str, Array]]:
        session = self.open(model)
        for batch in self.batches:
            self.forwards += batch_size(batch)
            yield session.run(batch)

    def _remember(self) -> None:
        """Run the float model once and keep its outputs."""
        self._outputs = list(self._run(self.float_model))
        names = [n for n, array in self._outputs[0].items() if array.dtype.kind == "f"]
        self._signals = {name: _signal([one[name] for one in self._outputs]) for name in names}


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
