"""Plans on the front of cost and error, by mixed-integer linear programming.

One binary variable says which format a group takes. Borders are linear in those: a quantizer is
paid where a reader asks for integers and the producer leaves floats, and the other way round. So
are bytes, see `octavo.search.footprint`; of plans of equal bytes the fastest is taken. The sum of
sensitivities is bounded by a budget; sweeping the budget gives a Pareto front.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from octavo.arrays import FloatArray
from octavo.errors import OctavoError
from octavo.graph import Group
from octavo.job import Objective
from octavo.plan import FP32, Format, Plan, Recipe
from octavo.search.footprint import Footprint
from octavo.search.price.features import (
    Action,
    Side,
    border,
    millions,
    side,
)
from octavo.search.price.prices import Prices
from octavo.search.program import GAP, Program, Row
from octavo.search.space import Space
from octavo.search.weigh import Weigher, asking, making

__all__ = ["GAP", "Solution", "Solver"]


SLACK = 1e-6
"""In thousandths of the float model's bytes: by how much the fastest plan may have more."""


@dataclass(frozen=True)
class Solution:
    """A plan on the front.

    Attributes:
        plan: the plan.
        seconds: its predicted time.
        error: the sum of the sensitivities of its groups.
        cost: what was minimized: its seconds, or its bytes.
    """

    plan: Plan
    seconds: float
    error: float
    cost: float


class Solver:
    """Finds the plan that costs least for any budget of error."""

    def __init__(
        self,
        space: Space,
        prices: Prices,
        sensitivity: Mapping[str, Mapping[Format, float]] | None = None,
        recipe: Recipe | None = None,
        *,
        objective: Objective = "speed",
        footprint: Footprint | None = None,
    ) -> None:
        """Write the program.

        Args:
            space: what plans are made of.
            prices: what they cost.
            sensitivity: the error that a group adds in a format, by group id; absent is 0.
            recipe: goes into the plans.
            objective: what is minimized.
            footprint: the sizes of the model, without which there are no other objectives than
                `speed`.

        Raises:
            ValueError: there is no footprint for the objective.
        """
        self._space, self._prices, self._recipe = space, prices, recipe
        self._sensitivity = sensitivity or {}
        self._objective, self._footprint = objective, footprint
        self._program = Program()
        self._places: dict[str, dict[Format, int]] = {}
        for group in space.graph.groups:
            if group.id in space.choices:
                self._choose(group)
        for tensor in space.graph.tensors:
            self._borders(tensor)
        self._bytes = self._weigh()

    def _weigh(self) -> Mapping[int, float]:
        """Return what every variable adds to the bytes; nothing where time is minimized."""
        if self._objective == "speed":
            return {}
        if self._footprint is None:
            raise ValueError(f"the objective {self._objective!r} needs the footprint of the model")
        weigher = Weigher(self._program, self._footprint, self._places)
        return weigher.memory() if self._objective == "memory" else weigher.weights()

    def _choose(self, group: Group) -> None:
        places = {
            one: self._program.variable(1e3 * self._prices.group(group, one), integral=True)
            for one in self._space.choices[group.id]
        }
        self._program.constrain(dict.fromkeys(places.values(), 1.0), 1.0, 1.0)
        self._places[group.id] = places

    def _borders(self, tensor: str) -> None:
        """Add the cost of the borders that a tensor crosses."""
        graph = self._space.graph
        producer, readers = graph.producer.get(tensor), graph.consumers.get(tensor, ())
        made, amount = side(producer), millions(graph, tensor)
        makes = making(self._places, producer, tensor)
        asked = {reader.id: asking(self._places, reader, tensor) for reader in readers}
        self._quantizers(readers, asked, makes, made, amount)
        for reader in readers:
            asks = asked[reader.id]
            if makes:  # paid >= makes - asks
                paid = self._pay("dequantize", made, side(reader), amount)
                self._program.at_least(paid, makes, asks)
            if producer is not None and side(reader) != made:
                self._reorders(makes, asks, made, side(reader), amount)
        if makes and tensor in graph.outputs:
            self._program.at_least(self._pay("dequantize", made, "flat", amount), makes)

    def _quantizers(
        self,
        readers: Sequence[Group],
        asked: Mapping[str, Sequence[int]],
        makes: Sequence[int],
        made: Side,
        amount: float,
    ) -> None:
        """Add the cost of a quantizer, shared by all readers; it is spatial if one of them is."""
        spatial = [asked[one.id] for one in readers if side(one) == "spatial" and asked[one.id]]
        flat = [asked[one.id] for one in readers if side(one) == "flat" and asked[one.id]]
        if spatial:
            paid = self._pay("quantize", made, "spatial", amount)
            for asks in spatial:  # paid >= asks - makes
                self._program.at_least(paid, asks, makes)
        if flat:
            paid = self._pay("quantize", made, "flat", amount)
            others = [place for asks in spatial for place in asks]
            for asks in flat:
                self._program.at_least(paid, asks, [*makes, *others])

    def _reorders(
        self, makes: Sequence[int], asks: Sequence[int], made: Side, read: Side, amount: float
    ) -> None:
        """Add the cost of the same numbers in another layout: floats to floats, integers to those.

        It is the same for all plans where nothing makes integers and nothing asks for them.
        """
        if makes or asks:  # paid >= 1 - makes - asks
            paid = self._pay("reorder", made, read, amount)
            self._program.at_least(paid, [], [*makes, *asks], constant=1.0)
        if makes and asks:  # paid >= makes + asks - 1
            paid = self._pay("reorder-int8", made, read, amount)
            self._program.at_least(paid, [*makes, *asks], [], constant=-1.0)

    def _pay(self, action: Action, made: Side, read: Side, amount: float) -> int:
        """Return a new variable: whether a border is crossed, at its cost in milliseconds."""
        price = self._prices.border(border(action, made, read))
        return self._program.variable(1e3 * amount * price)

    def _within(self, budget: float) -> Row | None:
        """Return the row that keeps errors within a budget, of which every coefficient is a share.

        A format that is over the budget by itself counts as twice the budget: the solver's
        tolerance is one for all coefficients, and an error of 1e6 would hide those that matter.
        """
        errors = self._errors()
        shares = {p: e / budget if 2 * budget > e else 2.0 for p, e in errors.items()}
        return (shares, 0.0, 1.0) if shares else None

    def _errors(self) -> dict[int, float]:
        return {
            place: self._sensitivity.get(name, {}).get(one, 0.0)
            for name, places in self._places.items()
            for one, place in places.items()
            if self._sensitivity.get(name, {}).get(one, 0.0) > 0
        }

    @property
    def largest_error(self) -> float:
        """The most error that any plan has."""
        return sum(max(errors.values(), default=0.0) for errors in self._sensitivity.values())

    @property
    def _least_error(self) -> float:
        """The least error that any plan has: more than 0 where groups have to be quantized."""
        exact = self._space.plan(
            {
                name: min(places, key=lambda one: self._sensitivity.get(name, {}).get(one, 0.0))
                for name, places in self._places.items()
            }
        )
        return self.error(exact)

    def solve(self, budget: float | None = None) -> Solution:
        """Return the plan that costs least within a budget.

        Args:
            budget: the most that the errors of its groups may add up to; None is no limit.

        Raises:
            OctavoError: no plan is within the budget.
        """
        within = None if budget is None else self._within(max(budget, 0.0))
        values = self._solve([within] if within else [])
        formats = {
            name: next((one for one, place in places.items() if values[place] > 0.5), FP32)
            for name, places in self._places.items()
        }
        plan = self._space.plan(formats, self._recipe)
        seconds = self._prices.predict(self._space.graph, plan).seconds
        return Solution(plan, seconds, self.error(plan), self._cost(plan, seconds))

    def _solve(self, rows: Sequence[Row]) -> FloatArray:
        """Return the fastest values, of those with the fewest bytes where that is the objective."""
        if not self._bytes:
            return self._program.solve(*rows)
        fewest = self._program.solve(*rows, costs=self._bytes)
        least = sum(amount * fewest[place] for place, amount in self._bytes.items())
        try:
            return self._program.solve(*rows, (dict(self._bytes), -np.inf, least + SLACK))
        except OctavoError:  # within the solver's tolerances, the same bytes may not be found again
            return fewest

    def _cost(self, plan: Plan, seconds: float) -> float:
        if self._footprint is None or self._objective == "speed":
            return seconds
        memory = self._objective == "memory"
        return self._footprint.memory(plan) if memory else self._footprint.weights(plan)

    def error(self, plan: Plan) -> float:
        """Return what the errors of the groups of a plan add up to."""
        return sum(
            self._sensitivity.get(name, {}).get(plan.format(name), 0.0)
            for name in self._space.choices
        )

    def front(self, points: int = 8) -> list[Solution]:
        """Return plans from the cheapest to the most exact; none costs and errs more than another.

        Budgets are a geometric series: between two plans with equal steps the error falls by the
        same factor.
        """
        return list(_undominated(self._sweep(points)))

    def _sweep(self, points: int) -> Iterator[Solution]:
        cheapest = self.solve()
        yield cheapest
        least = min((e for e in self._errors().values()), default=0.0)
        if cheapest.error <= 0 or least <= 0 or points < 2:
            return
        least = max(min(least, cheapest.error), self._least_error)
        for budget in np.geomspace(cheapest.error, least, points)[1:]:
            yield self.solve(float(budget))


def _undominated(solutions: Iterator[Solution]) -> Iterator[Solution]:
    ordered = sorted(solutions, key=lambda one: (one.cost, one.error, one.seconds))
    best = np.inf
    for _, same in itertools.groupby(ordered, key=lambda one: one.cost):
        one = next(iter(same))
        if one.error < best:
            best = one.error
            yield one
