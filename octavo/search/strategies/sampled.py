"""Black-box searches by Optuna's samplers: of cost and loss, the loss within the tolerance.

The sampler's memory is not on disk: it is deterministic, so a resumed search proposes the same
plans again and gets those that were judged from the study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from octavo.plan import FP32
from octavo.search.space import Space
from octavo.search.strategies.base import Budget, History, Judge, Maker

if TYPE_CHECKING:
    from optuna import Study

Sampler: TypeAlias = Literal["tpe", "random", "grid", "nsga2"]

BLOCKS = 6
"""Blocks of groups that a grid decides on: 64 plans."""

REPEATS = 200
"""Proposals in a row without a new plan after which the space counts as searched."""

POPULATION = 10
"""Plans of a generation of NSGA-II, whose usual 50 are all that most can afford."""

QUANTIZED = "int8"
"""What a grid calls a block whose groups take their best formats."""

WORST = 1e30
"""Stands for an infinite loss, with which samplers cannot compute."""


@dataclass(frozen=True)
class Sampled:
    """A search by a sampler; it begins with everything in INT8.

    Attributes:
        sampler: which one.
        seed: of what it draws.
    """

    sampler: Sampler
    seed: int = 0

    def run(
        self, space: Space, judge: Judge, budget: Budget, maker: Maker | None = None
    ) -> History:
        """Search until the budget is spent or no new plan is proposed any more."""
        from octavo.search.strategies.samplers import create_study, exhausted

        history = History(space, judge, budget, maker)
        parts = (
            blocks(space) if self.sampler == "grid" else {name: (name,) for name in space.decided}
        )
        choices = {name: _choices(space, members) for name, members in parts.items()}
        if not choices:
            history.try_out(f"{self.sampler} 1", {})
            return history
        study = create_study(self.sampler, choices, self.seed)
        study.enqueue_trial({name: names[0] for name, names in choices.items()})
        repeats = 0
        while not history.spent and not exhausted(study) and repeats < REPEATS:
            before = len(history.steps)
            self._step(study, history, parts, choices)
            repeats = 0 if len(history.steps) > before else repeats + 1
        return history

    def _step(
        self,
        study: Study,
        history: History,
        parts: Mapping[str, Sequence[str]],
        choices: Mapping[str, Sequence[str]],
    ) -> None:
        best = history.space.everything
        trial = study.ask()
        drawn = {name: trial.suggest_categorical(name, names) for name, names in choices.items()}
        choice = {
            group: drawn[part] if group == part or drawn[part] == FP32.name else best[group]
            for part, groups in parts.items()
            for group in groups
        }
        step = history.try_out(f"{self.sampler} {len(history.steps) + 1}", choice)
        if step is None:
            return
        loss = min(step.judged.loss_over_tolerance, WORST)
        trial.set_constraint("tolerance", -1.0 if step.judged.within else max(loss - 1, 1e-9))
        study.tell(trial, (step.cost, loss))


def _choices(space: Space, members: Sequence[str]) -> tuple[str, ...]:
    if len(members) == 1:
        return space.decided[members[0]]
    return QUANTIZED, FP32.name


def blocks(space: Space) -> dict[str, tuple[str, ...]]:
    """Return neighbouring groups that a grid decides on together, by the name of their block.

    The first and the last group, which often lose most, are blocks of their own; the others are
    divided evenly.
    """
    names = list(space.decided)
    if len(names) <= BLOCKS:
        return {name: (name,) for name in names}
    middle, count = names[1:-1], BLOCKS - 2
    ends = [round(len(middle) * one / count) for one in range(count + 1)]
    parts = [middle[low:high] for low, high in pairwise(ends)]
    grouped = [names[:1], *parts, names[-1:]]
    return {
        part[0] if len(part) == 1 else f"{part[0]} to {part[-1]}": tuple(part) for part in grouped
    }
