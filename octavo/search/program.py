"""Mixed-integer linear programs that are put together row by row, solved by HiGHS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from octavo.arrays import FloatArray
from octavo.errors import OctavoError

GAP = 0.002
"""Relative distance to the optimum at which the solver may stop: far below what prices are sure
of."""

LIMIT = 20.0

Row: TypeAlias = tuple[dict[int, float], float, float]
"""Coefficients by variable, and the least and the most that their sum may be."""


@dataclass
class Program:
    """A program whose variables lie between 0 and 1, unless they are open above.

    Attributes:
        costs: of each variable, in the unit that `solve` minimizes.
        integral: 1 for each variable that is 0 or 1, else 0.
        highest: the most that each variable may be.
        rows: what sums of variables have to satisfy.
    """

    costs: list[float] = field(default_factory=list)
    integral: list[int] = field(default_factory=list)
    highest: list[float] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def variable(
        self, cost: float = 0.0, *, integral: bool = False, open_above: bool = False
    ) -> int:
        """Add a variable and return its place."""
        self.costs.append(cost)
        self.integral.append(int(integral))
        self.highest.append(np.inf if open_above else 1.0)
        return len(self.costs) - 1

    def constrain(self, amounts: dict[int, float], low: float, high: float) -> None:
        """Demand that a sum of variables lies between two numbers."""
        self.rows.append((amounts, low, high))

    def at_least(
        self, one: int, more: Iterable[int], less: Iterable[int] = (), constant: float = 0.0
    ) -> None:
        """Demand that a variable is at least a constant plus some variables less others."""
        amounts = {one: 1.0}
        for place in more:
            amounts[place] = amounts.get(place, 0.0) - 1.0
        for place in less:
            amounts[place] = amounts.get(place, 0.0) + 1.0
        self.constrain(amounts, constant, np.inf)

    def solve(self, *extra: Row, costs: Mapping[int, float] | None = None) -> FloatArray:
        """Return values that minimize the costs.

        Args:
            extra: further rows.
            costs: by variable, in place of the program's own; absent is 0.

        Raises:
            OctavoError: the solver found none.
        """
        if not self.costs:
            return np.zeros(0)
        minimized = np.array(self.costs)
        if costs is not None:
            minimized = np.zeros(len(self.costs))
            minimized[list(costs)] = list(costs.values())
        result = milp(
            minimized,
            integrality=np.array(self.integral),
            bounds=Bounds(0, np.array(self.highest)),
            constraints=self._constraints([*self.rows, *extra]),
            options={"time_limit": LIMIT, "mip_rel_gap": GAP},
        )
        if result.x is None:
            raise OctavoError(f"no plan satisfies the budget: {result.message}")
        found: FloatArray = np.asarray(result.x)
        return found

    def _constraints(self, rows: Sequence[Row]) -> LinearConstraint:
        entries = [(r, c, v) for r, (amounts, _, _) in enumerate(rows) for c, v in amounts.items()]
        at, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        matrix = csr_array((values, (at, columns)), shape=(len(rows), len(self.costs)))
        return LinearConstraint(matrix, [row[1] for row in rows], [row[2] for row in rows])
