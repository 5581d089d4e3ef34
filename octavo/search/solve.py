"""Plans on the front of time and error, by mixed-integer linear programming.

One binary variable says which format a group takes. Borders are linear in those: a quantizer is
paid where a reader asks for integers and the producer leaves floats, and the other way round. The
sum of sensitivities is bounded by a budget; sweeping the budget gives a Pareto front.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from octavo.arrays import FloatArray
from octavo.errors import OctavoError
from octavo.graph import Group
from octavo.plan import FP32, Format, Plan, Recipe
from octavo.search.price.features import (
    asks_integers,
    border,
    makes_integers,
    millions,
    side,
    sides,
)
from octavo.search.price.prices import Prices
from octavo.search.space import Space

GAP = 0.002
"""Relative distance to the optimum at which the solver may stop: far below what prices are sure
of."""

LIMIT = 20.0


@dataclass(frozen=True)
class Solution:
    """A plan on the front.

    Attributes:
        plan: the plan.
        seconds: its predicted time.
        error: the sum of the sensitivities of its groups.
    """

    plan: Plan
    seconds: float
    error: float


@dataclass
class _Program:
    """A mixed-integer program that is put together row by row."""

    costs: list[float] = field(default_factory=list)
    integral: list[int] = field(default_factory=list)
    rows: list[tuple[dict[int, float], float, float]] = field(default_factory=list)

    def variable(self, cost: float, *, integral: bool) -> int:
        self.costs.append(cost)
        self.integral.append(int(integral))
        return len(self.costs) - 1

    def constrain(self, amounts: dict[int, float], low: float, high: float) -> None:
        self.rows.append((amounts, low, high))

    def solve(self, extra: tuple[dict[int, float], float, float] | None = None) -> FloatArray:
        """Return the best values.

        Raises:
            OctavoError: the solver found none.
        """
        if not self.costs:
            return np.zeros(0)
        rows = [*self.rows, *([extra] if extra else [])]
        entries = [(r, c, v) for r, (amounts, _, _) in enumerate(rows) for c, v in amounts.items()]
        at, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        matrix = csr_array((values, (at, columns)), shape=(len(rows), len(self.costs)))
        result = milp(
            np.array(self.costs),
            integrality=np.array(self.integral),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(
                matrix, [row[1] for row in rows], [row[2] for row in rows]
            ),
            options={"time_limit": LIMIT, "mip_rel_gap": GAP},
        )
        if result.x is None:
            raise OctavoError(f"no plan satisfies the budget: {result.message}")
        found: FloatArray = np.asarray(result.x)
        return found


class Solver:
    """Finds the fastest plan for any budget of error."""

    def __init__(
        self,
        space: Space,
        prices: Prices,
        sensitivity: Mapping[str, Mapping[Format, float]] | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        """Write the program.

        Args:
            space: what plans are made of.
            prices: what they cost.
            sensitivity: the error that a group adds in a format, by group id; absent is 0.
            recipe: goes into the plans.
        """
        self._space, self._prices, self._recipe = space, prices, recipe
        self._sensitivity = sensitivity or {}
        self._program = _Program()
        self._places: dict[str, dict[Format, int]] = {}
        for group in space.graph.groups:
            if group.id in space.choices:
                self._choose(group)
        for tensor in space.graph.tensors:
            self._borders(tensor)

    def _choose(self, group: Group) -> None:
        places = {
            one: self._program.variable(1e3 * self._prices.group(group, one), integral=True)
            for one in self._space.choices[group.id]
        }
        self._program.constrain(dict.fromkeys(places.values(), 1.0), 1.0, 1.0)
        self._places[group.id] = places

    def _borders(self, tensor: str) -> None:
        """Add the cost of the borders that a tensor crosses, in milliseconds."""
        graph = self._space.graph
        producer, readers = graph.producer.get(tensor), graph.consumers.get(tensor, ())
        made, amount = side(producer), millions(graph, tensor)
        making = self._making(producer, tensor)
        asking = [self._asking(reader, tensor) for reader in readers]
        if any(asking):
            asked = [reader for reader, one in zip(readers, asking, strict=True) if one]
            price = self._prices.border(border("quantize", made, sides(asked)))
            paid = self._program.variable(1e3 * amount * price, integral=False)
            for one in filter(None, asking):  # paid >= asks - makes
                self._at_least(paid, one, making)
        if not making:
            return
        for reader, one in zip(readers, asking, strict=True):
            price = self._prices.border(border("dequantize", made, side(reader)))
            paid = self._program.variable(1e3 * amount * price, integral=False)
            self._at_least(paid, making, one)  # paid >= makes - asks
        if tensor in graph.outputs:
            price = self._prices.border(border("dequantize", made, "flat"))
            paid = self._program.variable(1e3 * amount * price, integral=False)
            self._at_least(paid, making, [])

    def _at_least(self, paid: int, more: Sequence[int], less: Sequence[int]) -> None:
        amounts = {paid: 1.0} | dict.fromkeys(more, -1.0)
        for place in less:
            amounts[place] = amounts.get(place, 0.0) + 1.0
        self._program.constrain(amounts, 0.0, np.inf)

    def _making(self, producer: Group | None, tensor: str) -> list[int]:
        places = self._places.get(producer.id, {}) if producer else {}
        return [v for one, v in places.items() if makes_integers(producer, one, tensor)]

    def _asking(self, reader: Group, tensor: str) -> list[int]:
        places = self._places.get(reader.id, {})
        return [v for one, v in places.items() if asks_integers(reader, one, tensor)]

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

    def solve(self, budget: float | None = None) -> Solution:
        """Return the fastest plan within a budget.

        Args:
            budget: the most that the errors of its groups may add up to; None is no limit.

        Raises:
            OctavoError: no plan is within the budget.
        """
        errors = self._errors()
        scale = max(errors.values(), default=1.0)
        limit = None
        if budget is not None and errors:
            limit = ({p: e / scale for p, e in errors.items()}, 0.0, max(budget, 0.0) / scale)
        values = self._program.solve(limit)
        formats = {
            name: next((one for one, place in places.items() if values[place] > 0.5), FP32)
            for name, places in self._places.items()
        }
        plan = self._space.plan(formats, self._recipe)
        cost = self._prices.predict(self._space.graph, plan)
        return Solution(plan, cost.seconds, self.error(plan))

    def error(self, plan: Plan) -> float:
        """Return what the errors of the groups of a plan add up to."""
        return sum(
            self._sensitivity.get(name, {}).get(plan.format(name), 0.0)
            for name in self._space.choices
        )

    def front(self, points: int = 8) -> list[Solution]:
        """Return plans from the fastest to the most exact, none slower and less exact than another.

        Budgets are a geometric series: between two plans with equal steps the error falls by the
        same factor.
        """
        return list(_undominated(self._sweep(points)))

    def _sweep(self, points: int) -> Iterator[Solution]:
        fastest = self.solve()
        yield fastest
        least = min((e for e in self._errors().values()), default=0.0)
        if fastest.error <= 0 or least <= 0 or points < 2:
            return
        for budget in np.geomspace(fastest.error, min(least, fastest.error), points)[1:]:
            yield self.solve(float(budget))


def _undominated(solutions: Iterator[Solution]) -> Iterator[Solution]:
    ordered = sorted(solutions, key=lambda one: (one.seconds, one.error))
    best = np.inf
    for _, same in itertools.groupby(ordered, key=lambda one: one.seconds):
        one = next(iter(same))
        if one.error < best:
            best = one.error
            yield one
