"""The bytes of a plan as a linear program: what weights and values take, whatever is chosen.

Bytes are counted in thousandths of those of the float model, so that the solver's tolerances are
the same for all models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from octavo.graph import Group
from octavo.plan import FP32, Format, Plan
from octavo.search.footprint import Footprint, Stored
from octavo.search.price.features import asks_integers, makes_integers
from octavo.search.program import Program

UNIT = 1e-3

Places: TypeAlias = Mapping[str, Mapping[Format, int]]
"""The variable of each format, by group id."""


@dataclass(frozen=True)
class Weigher:
    """Adds variables for bytes to a program.

    Attributes:
        program: is written to.
        footprint: the sizes of the model.
        places: the variable of each format of each group that has a choice.
    """

    program: Program
    footprint: Footprint
    places: Places

    def weights(self) -> dict[int, float]:
        """Return what variables add to the bytes of the weights."""
        return self._weights(UNIT * max(self.footprint.weights(Plan()), 1.0))

    def memory(self) -> dict[int, float]:
        """Return what variables add to the bytes of weights and of the values alive at once."""
        unit = UNIT * max(self.footprint.memory(Plan()), 1.0)
        return self._weights(unit) | {self._peak(unit): 1.0}

    def _weights(self, unit: float) -> dict[int, float]:
        """Return the bytes by variable, each weight stored once in every form that is asked for."""
        askers: dict[Stored, list[int]] = {}
        sizes: dict[Stored, float] = {}
        always: set[Stored] = set()
        for group in self.footprint.graph.groups:
            places = self.places.get(group.id)
            if places is None:
                always |= self.footprint.stored(group, FP32).keys()
            for one, place in (places or {}).items():
                for stored, size in self.footprint.stored(group, one).items():
                    askers.setdefault(stored, []).append(place)
                    sizes[stored] = size / unit
        found: dict[int, float] = {}
        for stored, places_ in askers.items():
            if stored not in always:
                place = places_[0] if len(places_) == 1 else self._any_of(places_)
                found[place] = found.get(place, 0.0) + sizes[stored]
        return found

    def _any_of(self, places: Sequence[int]) -> int:
        """Return a new variable that is 1 where one of others is."""
        stored = self.program.variable()
        for place in places:
            self.program.at_least(stored, [place])
        return stored

    def _peak(self, unit: float) -> int:
        """Return a new variable: the most bytes of values that are alive at once."""
        peak = self.program.variable(open_above=True)
        held = {name: self._held(name, unit) for name in self.footprint.spans}
        for alive in self.footprint.alive:
            amounts = {peak: 1.0}
            for name in alive:
                amounts |= {place: -size for place, size in held[name].items()}
            self.program.constrain(amounts, 0.0, np.inf)
        return peak

    def _held(self, tensor: str, unit: float) -> dict[int, float]:
        """Return variables that say in which forms a value is held, and the bytes of each."""
        graph = self.footprint.graph
        producer, readers = graph.producer.get(tensor), graph.consumers.get(tensor, ())
        makes = making(self.places, producer, tensor)
        integers, floats = self.program.variable(), self.program.variable()
        self.program.at_least(integers, makes)
        self.program.at_least(floats, [], makes, constant=1.0)
        for reader in readers:
            asks = asking(self.places, reader, tensor)
            self.program.at_least(integers, asks)
            self.program.at_least(floats, [], asks, constant=1.0)
        if tensor in graph.outputs:
            self.program.at_least(floats, [], constant=1.0)
        return {
            integers: self.footprint.held_bytes(tensor, True) / unit,
            floats: self.footprint.held_bytes(tensor, False) / unit,
        }


def making(places: Places, producer: Group | None, tensor: str) -> list[int]:
    """Return the variables of the formats in which a group leaves a tensor in integers."""
    formats = places.get(producer.id, {}) if producer else {}
    return [place for one, place in formats.items() if makes_integers(producer, one, tensor)]


def asking(places: Places, reader: Group, tensor: str) -> list[int]:
    """Return the variables of the formats in which a group reads a tensor as integers."""
    formats = places.get(reader.id, {})
    return [place for one, place in formats.items() if asks_integers(reader, one, tensor)]
