"""What is found out about plans, on the reference backend."""

from dataclasses import replace

import numpy as np
import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.backends.reference.network import Layer
from octavo.data import open_dataset
from octavo.job import QuantizeJob
from octavo.plan import Plan, Recipe
from octavo.search.candidates import candidates
from octavo.search.halving import Alternative, halve
from octavo.search.initial import wanted_tensors
from octavo.search.price.features import pattern_key
from octavo.search.sensitivity import Sensitivity
from octavo.search.space import Space
from octavo.testing.networks import convnet
from octavo.workflow import prospect as prospect_module
from octavo.workflow.calibrate import calibrate
from octavo.workflow.correct import correct_model
from octavo.workflow.prospect import (
    ACCURACY,
    BORDERS,
    PRICE,
    SAMPLES,
    SEARCHED,
    Prospect,
    job_space,
    space_plans,
)
from octavo.workflow.setting import describe
from octavo.workflow.trial import audit, group_rows


@pytest.fixture
def job():
    return QuantizeJob(tolerance="1%", correct="none")


@pytest.fixture
def prospect(setting, images, job, reporter, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return prospect_of(setting, images, job, reporter)


def prospect_of(setting, images, job, reporter):
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


def with_softmax():
    """Return the convolution net with a softmax, which has no integer form, before the last."""
    network = convnet()
    *layers, last = network.layers
    softmax = Layer("softmax", "softmax", ("flat.out",), "softmax.out")
    return replace(network, layers=(*layers, softmax, replace(last, inputs=("softmax.out",))))


def sensitivities(space, usual, **others):
    """Return the errors of the formats that are not float."""
    return {
        name: {one: others.get(name, usual) for one in formats if not one.is_float}
        for name, formats in space.choices.items()
    }


@pytest.fixture
def divided(images, reporter, monkeypatch, tmp_path):
    """A prospect by which each group of the net has another reason to be what it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backend = ReferenceBackend()
    setting = describe(backend, backend.load(with_softmax()), 1, {"image": images[:1]})
    job = QuantizeJob(tolerance="1%", correct="none", approach="static", float=["pointwise"])
    found = prospect_of(setting, images, job, reporter)
    groups = setting.graph.group_by_id
    stem = pattern_key(groups["stem"])
    seconds = {name: 1e-3 if " fp32" in name else 1e-4 for name in found.prices.names}
    seconds |= {name: 9e-3 for name in seconds if name.startswith(stem) and " fp32" not in name}
    seconds |= {name: 1e-6 for name in seconds if ">" in name and " int8" not in name}
    found.__dict__["prices"] = replace(
        found.prices, seconds=np.array([seconds[name] for name in found.prices.names])
    )
    errors = sensitivities(found.space, 0.01, classifier=0.5)
    monkeypatch.setattr(found, "sensitivity", lambda recipe: Sensitivity(errors))
    return found


def test_a_solved_plan_says_what_kept_each_group_in_float(divided):
    candidate = divided.solve(first(divided), 0.1)
    setting = divided.setting
    built = setting.backend.build(
        setting.model, candidate.plan, divided.ranges(candidate.plan), setting.target
    )
    audits = audit(setting, candidate, setting.model, built)
    rows = group_rows(setting.graph, audits, candidate.reasons)
    reasons = {row["id"]: row["reason"] for row in rows if row["executed"] == "fp32"}
    assert reasons == {
        "stem": PRICE["speed"],
        "pointwise": "kept in float by the pattern 'pointwise'",
        "softmax": "there is no integer softmax here",
        "classifier": ACCURACY,
    }
    assert {row["id"] for row in rows} - reasons.keys() == set(candidate.plan.formats)


def test_what_follows_float_groups_is_not_said_to_cost_accuracy(divided, monkeypatch):
    errors = sensitivities(divided.space, 0.5, pool=0.0)
    monkeypatch.setattr(divided, "sensitivity", lambda recipe: Sensitivity(errors))
    seconds = [
        0.5 if ">" in name and " int8" not in name else one
        for name, one in zip(divided.prices.names, divided.prices.seconds, strict=True)
    ]
    divided.__dict__["prices"] = replace(divided.prices, seconds=np.array(seconds))
    free = divided.solve(first(divided), None).plan
    found = divided.solve(first(divided), 0.1)
    assert ("pool" in free.formats, found.plan.formats) == (True, {})
    assert found.reasons["pool"] == BORDERS
    assert found.reasons["depthwise"] == ACCURACY


def test_any_plan_has_reasons_for_its_float_groups(divided):
    groups = divided.setting.graph.group_by_id
    choice = dict.fromkeys(divided.space.decided, "fp32")
    plan = divided.follow(choice, Recipe())
    reasons = divided.reasons(plan)
    assert not plan.formats
    assert reasons.keys() == groups.keys()
    assert reasons["stem"] == reasons["depthwise"] == reasons["classifier"] == SEARCHED
    assert reasons["pool"] == reasons["flat"] == BORDERS
    assert reasons["softmax"] == "there is no integer softmax here"
    assert reasons["pointwise"] == "kept in float by the pattern 'pointwise'"
    whole = divided.follow(divided.space.everything, Recipe())
    assert not divided.reasons(whole).keys() & whole.formats.keys()


def test_a_prediction_promises_what_its_uncertainty_leaves(prospect):
    plan = prospect.solve(first(prospect), None).plan
    plan = plan if plan.formats else first(prospect).plan
    certain = prospect.gain(plan)
    prospect.__dict__["prices"] = replace(prospect.prices, model_error=0.2)
    assert prospect.promise(plan) >= prospect.gain(plan) / 0.8 * 0.999
    assert prospect.gain(plan) == certain
    assert prospect.promise(Plan()) == 1.0
    small = replace(prospect, objective="size")
    assert small.promise(plan) == small.gain(plan)


def test_hope_makes_int8_faster_by_what_is_uncertain(prospect):
    base = first(prospect)
    seconds = [1e-3 if " fp32" in name else 1.05e-3 if " int8" in name else 0.0
               for name in prospect.prices.names]  # fmt: skip
    none = np.zeros_like(prospect.prices.covariance)
    prospect.__dict__["prices"] = replace(
        prospect.prices, seconds=np.array(seconds), covariance=none, model_error=0.1
    )
    assert not prospect.solve(base, None).plan.formats
    assert prospect.gain(base.plan) == pytest.approx(1 / 1.05)
    assert prospect.hope(base.plan) == pytest.approx(0.1)
    assert prospect.gain(base.plan) == pytest.approx(1 / 1.05 / 0.9)
    assert prospect.gain(base.plan) == pytest.approx(prospect.promise(base.plan))
    assert prospect.solve(base, None).plan.formats
    assert prospect.gain(Plan()) == 1.0


def test_what_a_plan_was_measured_to_gain_is_learnt(prospect):
    base = first(prospect)
    seconds = [1e-3 if " fp32" in name else 1.05e-3 if " int8" in name else 0.0
               for name in prospect.prices.names]  # fmt: skip
    none = np.zeros_like(prospect.prices.covariance)
    prospect.__dict__["prices"] = replace(
        prospect.prices, seconds=np.array(seconds), covariance=none, model_error=0.01
    )
    prospect.learn(base.plan, 1.1)
    assert prospect.gain(base.plan) == pytest.approx(1.1)
    assert prospect.promise(base.plan) == pytest.approx(1.1)
    assert prospect.solve(base, None).plan.formats
    prospect.learn(base.plan, 0.9)  # what is known to be possible stays
    assert prospect.gain(base.plan) == pytest.approx(1.1)


def test_gains_are_compared_with_float_by_the_objective(prospect):
    assert prospect.in_words(1.034) == "1.03x as fast as float"
    assert replace(prospect, objective="size").in_words(3.9) == "3.90x smaller than float"
    assert replace(prospect, objective="memory").in_words(2) == "2.00x less memory than float"


def test_a_plan_is_corrected_once(prospect, monkeypatch):
    made = []

    def correcting(setting, plan, *rest):
        made.append(plan)
        return correct_model(setting, plan, *rest)

    monkeypatch.setattr(prospect_module, "correct_model", correcting)
    base = first(prospect)
    plan = replace(base.plan, recipe=Recipe(corrections=("equalize",)))
    assert prospect.error(replace(base, plan=plan)) > 0
    assert prospect.corrected(plan) is prospect.corrected(plan)
    assert len(made) == 1
