"""Plans on the front of time and error, by mixed-integer linear programming.

One binary variable says which format a group takes. Borders are linear in those: a quantizer is
paid where a reader asks for integers and the producer leaves floats, and the other way round. The
sum of sensitivities is bounded by a budget; sweeping the budget gives a Pareto front.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from octavo.arrays import FloatArray
from octavo.errors import OctavoError
from octavo.graph import Group
from octavo.plan import FP32, Format, Plan, Recipe
from octavo.search.price.features import (
    Action,
    Side,
    asks_integers,
    border,
    makes_integers,
    millions,
    side,
)
from octavo.search.price.prices import Prices
from octavo.search.space import Space

GAP = 0.002
"""Relative distance to the optimum at which the solver may stop: far below what prices are sure
of."""

LIMIT = 20.0

Row: TypeAlias = tuple[dict[int, float], float, float]
"""Coefficients by variable, and the least and the most that their sum may be."""


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
    rows: list[Row] = field(default_factory=list)

    def variable(self, cost: float, *, integral: bool) -> int:
        self.costs.append(cost)
        self.integral.append(int(integral))
        return len(self.costs) - 1

    def constrain(self, amounts: dict[int, float], low: float, high: float) -> None:
        self.rows.append((amounts, low, high))

    def solve(self, extra: Row | None = None) -> FloatArray:
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
        """Add the cost of the borders that a tensor crosses."""
        graph = self._space.graph
        producer, readers = graph.producer.get(tensor), graph.consumers.get(tensor, ())
        made, amount = side(producer), millions(graph, tensor)
        making = self._making(producer, tensor)
        asking = {reader.id: self._asking(reader, tensor) for reader in readers}
        self._quantizers(readers, asking, making, made, amount)
        for reader in readers:
            asks = asking[reader.id]
            if making:  # paid >= makes - asks
                paid = self._pay("dequantize", made, side(reader), amount)
                self._at_least(paid, making, asks)
            if producer is not None and side(reader) != made:
                self._reorders(making, asks, made, side(reader), amount)
        if making and tensor in graph.outputs:
            self._at_least(self._pay("dequantize", made, "flat", amount), making, [])

    def _quantizers(
        self,
        readers: Sequence[Group],
        asking: Mapping[str, Sequence[int]],
        making: Sequence[int],
        made: Side,
        amount: float,
    ) -> None:
        """Add the cost of a quantizer, shared by all readers; it is spatial if one of them is."""
        spatial = [asking[one.id] for one in readers if side(one) == "spatial" and asking[one.id]]
        flat = [asking[one.id] for one in readers if side(one) == "flat" and asking[one.id]]
        if spatial:
            paid = self._pay("quantize", made, "spatial", amount)
            for asks in spatial:  # paid >= asks - makes
                self._at_least(paid, asks, making)
        if flat:
            paid = self._pay("quantize", made, "flat", amount)
            others = [place for asks in spatial for place in asks]
            for asks in flat:
                self._at_least(paid, asks, [*making, *others])

    def _reorders(
        self, making: Sequence[int], asking: Sequence[int], made: Side, read: Side, amount: float
    ) -> None:
        """Add the cost of the same numbers in another layout: floats to floats, integers to those.

        It is the same for all plans where nothing makes integers and nothing asks for them.
        """
        if making or asking:  # paid >= 1 - makes - asks
            paid = self._pay("reorder", made, read, amount)
            self._at_least(paid, [], [*making, *asking], constant=1.0)
        if making and asking:  # paid >= makes + asks - 1
            paid = self._pay("reorder-int8", made, read, amount)
            self._at_least(paid, [*making, *asking], [], constant=-1.0)

    def _pay(self, action: Action, made: Side, read: Side, amount: float) -> int:
        """Return a new variable: whether a border is crossed, at its cost in milliseconds."""
        price = self._prices.border(border(action, made, read))
        return self._program.variable(1e3 * amount * price, integral=False)

    def _at_least(
        self, paid: int, more: Sequence[int], less: Sequence[int], constant: float = 0.0
    ) -> None:
        """Demand paid >= sum of more - sum of less + constant."""
        amounts = {paid: 1.0} | dict.fromkeys(more, -1.0)
        for place in less:
            amounts[place] = amounts.get(place, 0.0) + 1.0
        self._program.constrain(amounts, constant, np.inf)

    def _making(self, producer: Group | None, tensor: str) -> list[int]:
        places = self._places.get(producer.id, {}) if producer else {}
        return [v for one, v in places.items() if makes_integers(producer, one, tensor)]

    def _asking(self, reader: Group, tensor: str) -> list[int]:
        places = self._places.get(reader.id, {})
        return [v for one, v in places.items() if asks_integers(reader, one, tensor)]

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
        """Return the fastest plan within a budget.

        Args:
            budget: the most that the errors of its groups may add up to; None is no limit.

        Raises:
            OctavoError: no plan is within the budget.
        """
        values = self._program.solve(None if budget is None else self._within(max(budget, 0.0)))
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
        least = max(min(least, fastest.error), self._least_error)
        for budget in np.geomspace(fastest.error, least, points)[1:]:
            yield self.solve(float(budget))


def _undominated(solutions: Iterator[Solution]) -> Iterator[Solution]:
    ordered = sorted(solutions, key=lambda one: (one.seconds, one.error))
    best = np.inf
    for _, same in itertools.groupby(ordered, key=lambda one: one.seconds):
        one = next(iter(same))
        if one.error < best:
            best = one.error
            yield one
