"""Prices of features, and what a plan costs by them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from octavo.arrays import FloatArray
from octavo.graph import Graph, Group
from octavo.plan import FP32, Format, Plan
from octavo.search.price.features import (
    RUN,
    border_features,
    features,
    group_feature,
    is_border,
    pattern_key,
)

GUESS = 0.3
"""The relative error of a price that was taken from kin, since it was never seen."""


@dataclass(frozen=True)
class Cost:
    """A predicted time.

    Attributes:
        seconds: of one run on the target.
        error: its standard error in seconds.
    """

    seconds: float
    error: float


@dataclass(frozen=True)
class Prices:
    """What every feature costs.

    Attributes:
        names: the features.
        seconds: of one unit of each, shape [features].
        covariance: of `seconds`, shape [features, features].
        model_error: the relative error of predictions that no price explains, from plans that were
            left out of the fit.
        float_seconds: the measured time of the float model; 0 where it was not measured.
        plans: how many plans were profiled.
    """

    names: tuple[str, ...]
    seconds: FloatArray
    covariance: FloatArray
    model_error: float
    float_seconds: float = 0.0
    plans: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form; `from_json` reads it back."""
        return {
            "names": list(self.names),
            "seconds": self.seconds.tolist(),
            "covariance": self.covariance.tolist(),
            "model_error": self.model_error,
            "float_seconds": self.float_seconds,
            "plans": self.plans,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prices:
        """Read what `to_json` wrote."""
        size = len(data["names"])
        read = {
            "names": tuple(data["names"]),
            "seconds": np.asarray(data["seconds"], np.float64),
            "covariance": np.asarray(data["covariance"], np.float64).reshape(size, size),
        }
        return cls(**{**data, **read})

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The place of each feature."""
        return {name: place for place, name in enumerate(self.names)}

    def of(self, feature: str) -> float:
        """Return the price of one unit, 0 for a feature that is not known."""
        place = self.index.get(feature)
        return 0.0 if place is None else float(self.seconds[place])

    def knows(self, feature: str) -> bool:
        """Return whether a feature was seen."""
        return feature in self.index

    def group(self, group: Group, chosen: Format) -> float:
        """Return what a group costs in a format, in seconds.

        For a variant that was never profiled: the mean of the variants of its pattern that compute
        as it does, else what the pattern takes in float.
        """
        name = group_feature(group, chosen)
        if name in self.index:
            return self.of(name)
        stem = f"{pattern_key(group)} {chosen.compute}"
        kin = [self.of(one) for one in self.names if one.startswith(stem)]
        return float(np.mean(kin)) if kin else self.of(group_feature(group, FP32))

    def border(self, feature: str) -> float:
        """Return what a million elements cost at a border, in seconds.

        A border that was never seen costs the mean of those that were.
        """
        if feature in self.index:
            return self.of(feature)
        seen = [self.of(name) for name in self.names if is_border(name)]
        return float(np.mean(seen)) if seen else 0.0

    def predict(self, graph: Graph, plan: Plan) -> Cost:
        """Return what a plan takes."""
        seconds, guessed = self.of(RUN), 0.0
        for group in graph.groups:
            chosen = plan.format(group.id)
            seconds += self.group(group, chosen)
            if group_feature(group, chosen) not in self.index:
                guessed += GUESS * self.group(group, chosen)
        for name, amount in border_features(graph, plan).items():
            seconds += amount * self.border(name)
        amounts = np.zeros(len(self.names))
        for name, amount in features(graph, plan).items():
            if (place := self.index.get(name)) is not None:
                amounts[place] = amount
        variance = float(amounts @ self.covariance @ amounts)
        error = math.hypot(math.sqrt(max(variance, 0.0)), self.model_error * seconds, guessed)
        return Cost(seconds, error)
