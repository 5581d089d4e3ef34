"""What is found out about plans, on the reference backend."""

from dataclasses import replace

import numpy as np
import pytest

from octavo.data import open_dataset
from octavo.job import QuantizeJob
from octavo.plan import Plan, Recipe
from octavo.search.candidates import candidates
from octavo.search.halving import Alternative, halve
from octavo.search.initial import wanted_tensors
from octavo.search.space import Space
from octavo.workflow import prospect as prospect_module
from octavo.workflow.calibrate import calibrate
from octavo.workflow.prospect import PRICE, SAMPLES, Prospect, job_space, space_plans


@pytest.fixture
def job():
    return QuantizeJob(tolerance="1%", correct="none")


@pytest.fixture
def prospect(setting, images, job, reporter, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = open_dataset([images], setting.model.inputs, role="calibration")
    plans = space_plans(job_space(setting.graph, job))
    statistics = calibrate(setting, data, wanted_tensors(setting.graph, plans), 8, reporter)
    return Prospect(setting, job, statistics, data, reporter)


def first(prospect):
    return candidates(prospect.setting.graph, prospect.job)[0]


def slow(prospect):
    """Give a prospect prices by which INT8 takes longer."""
    seconds = [1e-3 if name.endswith("fp32") else 9e-3 for name in prospect.prices.names]
    prospect.__dict__["prices"] = replace(prospect.prices, seconds=np.array(seconds))


def test_smaller_plans_are_solved_for_where_none_is_faster(prospect):
    base = first(prospect)
    slow(prospect)
    assert not prospect.solve(base, None).plan.formats
    small = replace(prospect, objective="size")
    small.__dict__["prices"] = prospect.prices
    found = small.solve(base, None)
    weighed = {op.name for op in prospect.setting.graph.ops if op.weights}
    assert set(found.plan.formats) == weighed
    assert small.footprint.weights(found.plan) < small.footprint.weights(Plan()) / 2
    assert small.gain(found.plan) > 2 > 1 > small.ratio(found.plan)
    assert prospect.gain(found.plan) == prospect.ratio(found.plan)
    between = [name for name in small.space.choices if name not in weighed]
    assert {found.reasons[name] for name in between} == {PRICE["size"]}


def test_the_plan_of_everything_is_that_to_start_from(prospect):
    choice = prospect.space.everything
    assert prospect.follow(choice, Recipe("mse")).formats == first(prospect).plan.formats
    assert prospect.follow(choice, Recipe("mse")).recipe == Recipe("mse")


def test_joins_that_are_far_apart_are_taken_out_of_a_followed_plan(prospect, monkeypatch):
    told = []

    def refuses(graph, plan, ranges):
        told.append(set(plan.formats))
        return {"pool": "too wide"} if "pool" in plan.formats else {}

    monkeypatch.setattr(prospect_module, "far_apart", refuses)
    plan = prospect.follow(prospect.space.everything, Recipe())
    assert "pool" in told[0] and "pool" not in plan.formats
    assert "pool" in prospect.space.choices  # another plan may have it


def test_range_methods_are_halved_on_few_samples(prospect):
    plain = [
        one for one in candidates(prospect.setting.graph, prospect.job) if one.approach == "static"
    ]
    found = halve([Alternative(one.name, one.plan) for one in plain], prospect.probe)
    assert len(found.order) == 3
    assert found.best.samples == prospect.samples == min(SAMPLES, 20)
    assert [one.samples for one in found.order][1:] == [10, 5]
    assert found.best.error == prospect.error(first_named(plain, found.best.alternative.name))
    assert found.forwards < 2 * 20 + 12 + 8 + 1


def first_named(plans, name):
    return next(one for one in plans if one.name == name)


def test_the_space_of_a_job_keeps_to_its_patterns(setting):
    job = QuantizeJob(float=["stem"], int8=["classifier"], approach="static")
    space = job_space(setting.graph, job)
    assert isinstance(space, Space)
    assert "stem" in space.reasons and "classifier" not in space.decided
    assert "classifier" in space.follow(dict.fromkeys(space.decided, "fp32")).formats
