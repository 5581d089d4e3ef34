"""Optuna's samplers and a study in memory for one of them. Imports Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.samplers import BaseSampler, GridSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from octavo.search.strategies.sampled import POPULATION, Sampler
from octavo.search.study.storage import quiet


def create_study(sampler: Sampler, choices: Mapping[str, Sequence[str]], seed: int) -> optuna.Study:
    """Return a study in memory that minimizes cost and loss."""
    with quiet():
        return optuna.create_study(
            sampler=_sampler(sampler, choices, seed), directions=["minimize", "minimize"]
        )


class _Grid(GridSampler):
    """A grid that does not ask for the end of `Study.optimize`, which is not running here."""

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        return None


def exhausted(study: optuna.Study) -> bool:
    """Return whether every point of a grid was proposed; other samplers do not end."""
    return isinstance(study.sampler, GridSampler) and study.sampler.is_exhausted(study)


def _sampler(name: Sampler, choices: Mapping[str, Sequence[str]], seed: int) -> BaseSampler:
    if name == "grid":
        return _Grid({part: list(names) for part, names in choices.items()}, seed=seed)
    if name == "nsga2":
        return NSGAIISampler(population_size=POPULATION, seed=seed)
    return TPESampler(seed=seed) if name == "tpe" else RandomSampler(seed=seed)
