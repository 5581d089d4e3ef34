"""What is found out about plans without evaluating them: errors, prices, sensitivities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from octavo.arrays import Batch
from octavo.backends.base import Ranges
from octavo.correct import Corrected
from octavo.data.base import Dataset
from octavo.errors import DataError
from octavo.graph import Graph
from octavo.job import Objective, QuantizeJob
from octavo.measure import Statistics
from octavo.model import Model
from octavo.plan import FP32, Plan, Recipe
from octavo.search.apart import far_apart
from octavo.search.candidates import Candidate
from octavo.search.footprint import Footprint, footprint
from octavo.search.initial import Approach, initial_plan, wanted_tensors
from octavo.search.price import Prices, Profiler
from octavo.search.price.cache import open_cache
from octavo.search.price.features import RUN
from octavo.search.price.fit import known_prices
from octavo.search.price.pricing import price
from octavo.search.probe import Probe
from octavo.search.sensitivity import Sensitivity, measure_sensitivity
from octavo.search.solve import Solver
from octavo.search.space import Space, make_space
from octavo.search.study.records import plan_key
from octavo.workflow.batches import full_batches
from octavo.workflow.calibrate import plan_ranges
from octavo.workflow.correct import correct_model
from octavo.workflow.memory import Memory
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting
from octavo.workflow.trial import Trial

SAMPLES = 24
"""Samples that label-free errors are measured on; with at most `MOST_PLANS` plans in sensitivity
that is less than 2,000 sample forwards."""

MOST_PLANS = 60

MOST_HOPE = 0.3
"""The largest share of the time of INT8 that it is hoped to be faster by."""

BATCH = 4
"""Samples of one forward while errors are measured: steps by which halving can go."""

PRICE: Mapping[Objective, str] = {
    "speed": "INT8 would not make the model faster here",
    "size": "INT8 would not make the model smaller here",
    "memory": "INT8 would not take less memory here",
}
ACCURACY = "its quantization would cost too much accuracy"
BORDERS = "INT8 would not pay between groups that stay float"
SEARCHED = "kept in float by the search"

COMPARED: Mapping[Objective, str] = {
    "speed": "{:.2f}x as fast as float",
    "size": "{:.2f}x smaller than float",
    "memory": "{:.2f}x less memory than float",
}
"""How a gain is worded, by objective."""


def job_space(graph: Graph, job: QuantizeJob, refused: Mapping[str, str] | None = None) -> Space:
    """Return what a search may choose from in a job."""
    approaches: tuple[Approach, ...] = (
        ("static", "dynamic") if job.approach == "auto" else (job.approach,)
    )
    return make_space(
        graph,
        approaches=approaches,
        per_channel=job.per_channel,
        float_patterns=job.float_patterns,
        int8_patterns=job.int8_patterns,
        refused=refused,
    )


def space_plans(space: Space) -> list[Plan]:
    """Return plans that together need every range which any plan of the space needs."""
    longest = max((len(formats) for formats in space.choices.values()), default=0)
    return [
        space.plan({name: each[i] for name, each in space.choices.items() if i < len(each)})
        for i in range(longest)
    ]


@dataclass
class Prospect:
    """Errors, prices and sensitivities, each found when it is first asked for.

    Attributes:
        setting: the float model and its target.
        job: what was asked for.
        statistics: of the calibration data.
        calibration: the samples that models are corrected and compared on.
        reporter: is told what is done.
        memory: knows what earlier runs of the same job found.
        objective: what solved plans minimize.
    """

    setting: Setting
    job: QuantizeJob
    statistics: Statistics
    calibration: Dataset
    reporter: Reporter
    memory: Memory = field(default_factory=Memory)
    objective: Objective = "speed"
    _errors: dict[int, float] = field(default_factory=dict, repr=False)
    _sensitivities: dict[Recipe, Sensitivity] = field(default_factory=dict, repr=False)
    _refused: dict[str, str] = field(default_factory=dict, repr=False)
    _corrected: dict[str, Corrected] = field(default_factory=dict, repr=False)
    _hope: float = 0.0

    @property
    def space(self) -> Space:
        """What plans are made of."""
        return job_space(self.setting.graph, self.job, self._refused)

    @cached_property
    def probe(self) -> Probe:
        """Measures errors on the first calibration samples."""
        return Probe(self.setting.model, self._build, self.setting.open, self._batches())

    @property
    def samples(self) -> int:
        """How many samples errors are measured on."""
        return self.probe.samples

    def _batches(self) -> list[Batch]:
        found: list[Batch] = []
        samples = 0
        size = min(self.job.batch_size, BATCH)
        for batch in full_batches(self.calibration, size, self.setting.fixed):
            found.append(batch.inputs)
            samples += batch.samples
            if samples >= SAMPLES:
                break
        return found

    def ranges(self, plan: Plan) -> Ranges:
        """Return the ranges of a plan that is not corrected."""
        graph = self.setting.graph
        schemes = wanted_tensors(graph, [plan])
        return plan_ranges(self.statistics, graph, plan, schemes) if schemes else {}

    def _build(self, plan: Plan) -> Model:
        model, ranges = self.setting.model, self.ranges(plan)
        if plan.recipe.corrections:
            corrected = self.corrected(plan)
            model, ranges = corrected.model, corrected.ranges
        return self.setting.backend.build(model, plan, ranges, self.setting.target)

    def corrected(self, plan: Plan) -> Corrected:
        """Return the model that a plan with corrections is built from.

        The last one is kept, as a plan whose error was measured may be evaluated next.
        """
        key = plan_key(plan)
        if key not in self._corrected:
            self._corrected.clear()
            self._corrected[key] = correct_model(
                self.setting, plan, self.calibration, self.job.batch_size, self.reporter
            )
        return self._corrected[key]

    @cached_property
    def footprint(self) -> Footprint:
        """The sizes of weights and values."""
        return footprint(self.setting.backend, self.setting.model, self.setting.graph)

    def error(self, candidate: Candidate) -> float:
        """Return the label-free error of a plan."""
        return self.probe.error(candidate.plan)

    def trial_error(self, trial: Trial) -> float:
        """Return the label-free error of a trial's model."""
        key = id(trial.model)
        if key not in self._errors:
            self._errors[key] = self.probe.model_error(trial.model)
        return self._errors[key]

    @cached_property
    def prices(self) -> Prices:
        """What groups and borders cost on the target."""
        known = self.memory.noted("prices")
        if known is not None:
            return Prices.from_json(known)
        found = self._price()
        self.memory.note("prices", found.to_json())
        return found

    def _price(self) -> Prices:
        setting = self.setting
        profiler = Profiler(
            setting.backend, setting.model, setting.graph, setting.target, setting.sample,
            self.ranges,
        )  # fmt: skip
        cache = open_cache(setting.backend.name, setting.backend.versions(), setting.target)
        space = self.space
        whole = [
            plan
            for approach in ("static", "dynamic")
            if (plan := self._whole(space, approach)).formats
        ]
        with self.reporter.track("pricing groups and borders", None):
            found, profiles = price(
                space, profiler, whole, known=cache.read(), seed=self.job.seed,
                report=self.reporter.warn,
            )  # fmt: skip
        cache.store(known_prices(found))
        self.reporter.say(
            f"{len(profiles)} plans priced: predictions are off by {found.model_error:.0%}"
        )
        return found

    def _whole(self, space: Space, approach: Approach) -> Plan:
        """Return the plan of an approach with all that it would quantize, as the space allows."""
        formats = initial_plan(
            space.graph, approach=approach, per_channel=self.job.per_channel,
            refused=space.reasons,
        ).plan.formats  # fmt: skip
        return space.plan({k: one for k, one in formats.items() if one in space.choices.get(k, ())})

    def sensitivity(self, recipe: Recipe) -> Sensitivity:
        """Return what every group adds to the error, with the ranges of a recipe, uncorrected."""
        plain = replace(recipe, corrections=())
        if plain not in self._sensitivities:
            stage = f"sensitivity: {plain.ranges}"
            known = self.memory.noted(stage)
            found = self._sensitivity(plain) if known is None else Sensitivity.from_json(known)
            self.memory.note(stage, found.to_json())
            self._sensitivities[plain] = found
        return self._sensitivities[plain]

    def _sensitivity(self, recipe: Recipe) -> Sensitivity:
        def error(plan: Plan) -> float:
            return self.probe.error(replace(plan, recipe=recipe))

        before = self.probe.forwards
        with self.reporter.track("measuring the sensitivity of groups without labels", None):
            found = measure_sensitivity(self.space, error, most_plans=MOST_PLANS)
        self.reporter.say(
            f"sensitivity: {found.plans} plans, {self.probe.forwards - before} sample forwards"
        )
        return found

    @property
    def expected(self) -> Prices:
        """The prices that plans are solved for with: lower ones for INT8 while it is hoped for."""
        if not self._hope:
            return self.prices
        factors = [1.0 if _costs_float(one) else 1 - self._hope for one in self.prices.names]
        return replace(self.prices, seconds=self.prices.seconds * np.array(factors))

    def hope(self, plan: Plan) -> float:
        """Take INT8 to be faster than its prices, from now on, by what is uncertain in them.

        Args:
            plan: its uncertainty is that of all.

        Returns:
            the share of the time of INT8 kernels and borders that is taken off.
        """
        cost = self.prices.predict(self.setting.graph, plan)
        self._hope = min(cost.error / cost.seconds, MOST_HOPE) if cost.seconds > 0 else 0.0
        return self._hope

    def learn(self, plan: Plan, ratio: float) -> None:
        """Take INT8 to be faster than its prices, from now on, by what a plan was measured to be.

        Args:
            plan: what was measured.
            ratio: its speed over float.
        """
        graph = self.setting.graph
        floating = self.prices.predict(graph, Plan()).seconds
        predicted = self.prices.predict(graph, plan).seconds
        if predicted > 0 and ratio > 0:
            self._hope = min(max(1 - floating / ratio / predicted, self._hope), MOST_HOPE)

    def ratio(self, plan: Plan) -> float:
        """Return the predicted speed of a plan over float."""
        predicted = self.expected.predict(self.setting.graph, plan).seconds
        floating = self.prices.predict(self.setting.graph, Plan()).seconds
        return floating / predicted if predicted > 0 else 1.0

    def gain(self, plan: Plan) -> float:
        """Return what float costs over what a plan costs, by the objective; above 1 it is better.

        That is the predicted speed over float, or how many times as many bytes float takes.
        """
        if self.objective == "speed":
            return self.ratio(plan)
        count = self.footprint.memory if self.objective == "memory" else self.footprint.weights
        bytes_ = count(plan)
        return count(Plan()) / bytes_ if bytes_ > 0 else 1.0

    def promise(self, plan: Plan) -> float:
        """Return the gain of a plan if all that is uncertain in its prediction goes well."""
        if self.objective != "speed" or not plan.formats:
            return self.gain(plan)
        cost = self.prices.predict(self.setting.graph, plan)
        floating = self.prices.predict(self.setting.graph, Plan()).seconds
        least = min(cost.seconds - cost.error, (1 - self._hope) * cost.seconds)
        return floating / least if least > 0 else math.inf

    def in_words(self, gain: float) -> str:
        """Return a gain as a comparison with float."""
        return COMPARED[self.objective].format(gain)

    def predicted_error(self, plan: Plan) -> float:
        """Return the error that a plan should have by the sensitivities of its groups."""
        return self.sensitivity(plan.recipe).of(plan)

    def solve(self, base: Candidate, allowed: float | None) -> Candidate:
        """Return the plan with a recipe that is best by the objective and should be allowed.

        Args:
            base: gives the recipe.
            allowed: the label-free error; None is no limit.

        Raises:
            OctavoError: no plan satisfies it.
        """
        recipe = base.plan.recipe
        while True:
            space = self.space
            known = Sensitivity({}) if allowed is None else self.sensitivity(recipe)
            solver = self._solver(space, known, recipe)
            plan = solver.solve(None if allowed is None else allowed / known.scale).plan
            apart = self._far_apart(plan)
            if not apart:
                break
            self._refused |= apart
        reasons = space.reasons_for(plan, PRICE[self.objective])
        if allowed is not None:
            free = solver.solve(None).plan
            left = allowed - known.of(plan)
            reasons |= {
                name: ACCURACY if self._least_error(space, known, name) > left else BORDERS
                for name in reasons
                if name in space.choices and not free.format(name).is_float
            }
        return Candidate(f"solved {base.name.removeprefix('solved ')}", plan, reasons)

    @staticmethod
    def _least_error(space: Space, known: Sensitivity, name: str) -> float:
        forms = [one for one in space.choices[name] if not one.is_float]
        return min(known.of(Plan({name: one})) for one in forms)

    def reasons(self, plan: Plan) -> dict[str, str]:
        """Return why every group that any plan leaves float is, by what is known without a search.

        That is the operator or the user where they leave no choice. A group that does not pay by
        itself follows those around it; any other was left to the search.
        """
        space = self.space
        return {
            name: BORDERS if name in space.choices and name not in space.decided else why
            for name, why in space.reasons_for(plan, SEARCHED).items()
        }

    def _solver(self, space: Space, known: Sensitivity, recipe: Recipe) -> Solver:
        sizes = None if self.objective == "speed" else self.footprint
        return Solver(
            space, self.expected, known.errors, recipe, objective=self.objective, footprint=sizes
        )

    def follow(self, choice: Mapping[str, str], recipe: Recipe) -> Plan:
        """Return the plan of a strategy's choice, without the joins whose ranges are far apart.

        Args:
            choice: names of formats by group id, see `Space.follow`.
            recipe: goes into the plan.
        """
        space = self.space
        while True:
            plan = space.follow(choice, recipe)
            apart = self._far_apart(plan)
            if not apart:
                return plan
            space = space.without(apart)

    def _far_apart(self, plan: Plan) -> Mapping[str, str]:
        graph = self.setting.graph
        untied = Plan(recipe=plan.recipe)
        schemes = wanted_tensors(graph, [plan])
        if not schemes:
            return {}
        ranges = plan_ranges(self.statistics, graph, untied, schemes)
        found = far_apart(graph, plan, ranges)
        if found.keys() & self._refused.keys():
            raise DataError(f"the joins {', '.join(found)} cannot be kept in float")
        return found


def _costs_float(feature: str) -> bool:
    """Return whether a float plan pays for a feature too."""
    return feature == RUN or feature.endswith(f" {FP32.name}") or feature.startswith("reorder ")
