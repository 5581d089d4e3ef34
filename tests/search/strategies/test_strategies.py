import subprocess
import sys
from dataclasses import replace

import pytest
from remembering import remembered

from octavo.backends.reference import ReferenceBackend
from octavo.errors import ModelError, UsageError
from octavo.graph import Capability, Graph, Group, Op, Tensor
from octavo.plan import S8, U8, Format, Recipe
from octavo.search.space import make_space
from octavo.search.strategies import STRATEGIES, Budget, Judged, strategy
from octavo.search.strategies.sampled import blocks
from octavo.search.study import StudyKey, open_study
from octavo.target import Target
from octavo.testing.networks import NETWORKS

CHANNELS = replace(S8, axis=0)
SAMPLED = [name for name in STRATEGIES if name != "fallback"]


def int8(weight=None):
    return Format("int8", weight, (U8,), (U8,))


CONV = (Capability(int8(CHANNELS)), Capability(int8(S8)))
FOLLOW = (Capability(int8()),)


def chain(count=8):
    """Return convolutions with an activation behind each, which follows them."""
    groups, entering = [], "x"
    for i in range(count):
        for name, role, kind, options in (
            (f"conv{i}", "compute", "conv", CONV),
            (f"act{i}", "follow", "activation", FOLLOW),
        ):
            groups.append(Group(name, kind, role, (name,), (entering,), (name,), options, macs=100))
            entering = name
    tensors = {
        name: Tensor(name, "float32", (1, 8, 4, 4)) for name in ("x", *(g.id for g in groups))
    }
    ops = tuple(Op(g.id, g.kind, "Any", g.inputs, g.outputs, macs=g.macs) for g in groups)
    return Graph(ops, tensors, tuple(groups), ("x",), (entering,), "chain")


def space_of(count=8):
    """Return the space of a chain, with both kinds of weight scales."""
    return make_space(chain(count), approaches=["static"], per_tensor=True)


class Additive:
    """Loses a share per INT8 group, and half as much again with one scale per tensor."""

    def __init__(self, losses):
        self.losses, self.plans = losses, []

    def __call__(self, plan):
        self.plans.append(plan)
        loss = seconds = 0.0
        for name, share in self.losses.items():
            form = plan.format(name)
            coarse = form.weight is not None and form.weight.axis is None
            loss += 0 if form.is_float else share * (1.5 if coarse else 1)
            seconds += 4 if form.is_float else 1
        return Judged(loss, seconds, loss <= 1)


def losses(count=8):
    """Return two groups that lose too much and others that lose next to nothing."""
    return {f"conv{i}": 0.9 if i in (0, 5) else 0.02 for i in range(count)}


def search(name, judge=None, evaluations=60, space=None, **options):
    judge = judge or Additive(losses())
    budget = Budget(max_evaluations=evaluations, **options)
    return strategy(name, seed=3).run(space or space_of(), judge, budget), judge


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_finds_a_plan_within_the_tolerance(name):
    history, judge = search(name)
    best = history.best
    assert best.judged.within
    assert best.judged.seconds < 4 * 8  # faster than everything in float
    assert [step.plan for step in history.steps] == judge.plans
    assert not any(plan in judge.plans[:i] for i, plan in enumerate(judge.plans))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("network", ["convnet", "residual", "concat", "attention"])
def test_every_plan_can_be_built(name, network):
    backend = ReferenceBackend()
    graph = backend.graph(backend.load(NETWORKS[network]()), Target())
    space = make_space(graph)
    judge = Additive(dict.fromkeys(space.decided, 10.0))
    search(name, judge, evaluations=20, space=space)
    assert judge.plans
    for plan in judge.plans:
        for group, form in plan.formats.items():
            assert form in graph.group_by_id[group].formats
            if graph.group_by_id[group].role == "follow":
                makers = [graph.producer.get(one) for one in graph.group_by_id[group].inputs]
                assert any(one and one.id in plan.formats for one in makers)


def test_fallback_evaluates_all_then_each_then_what_it_accumulates():
    history, _ = search(
        "fallback",
        Additive(dict.fromkeys(losses(), 0.0) | {"conv0": 0.9, "conv5": 0.8, "conv2": 0.7}),
    )
    names = [step.name for step in history.steps]
    assert names == ["everything", *(f"conv{i} in float" for i in range(8)), "2 in float"]
    float_ones = {name for name, form in history.best.choice.items() if form == "fp32"}
    assert float_ones == {"conv0", "conv5"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_minimized_may_be_another_cost_than_time(name, tmp_path):
    rates = Additive(dict.fromkeys(losses(), 0.01))

    def judge(plan):  # the more is in INT8, the more it costs
        judged = rates(plan)
        return replace(judged, cost=-judged.seconds, within=len(rates.plans) > 1)

    space = space_of()
    with open_study(tmp_path, StudyKey({}), choices=space.names) as study:
        for _ in range(2):  # the second time from the study
            remember = remembered(judge, study, name=name)
            history = strategy(name, 3).run(space, remember, Budget(20))
            costs = [step.cost for step in history.steps if step.judged.within]
            assert history.best.cost == min(costs) == -max(s.judged.seconds for s in history.steps)


def test_fallback_ends_at_once_where_everything_is_accurate():
    history, _ = search("fallback", Additive(dict.fromkeys(losses(), 0.01)))
    assert [step.name for step in history.steps] == ["everything"]


@pytest.mark.parametrize("name", SAMPLED)
def test_the_first_plan_of_a_sampler_is_everything_in_int8(name):
    history, _ = search(name, evaluations=1)
    assert history.steps[0].choice == history.space.everything


@pytest.mark.parametrize("name", STRATEGIES)
def test_evaluations_are_counted(name):
    history, judge = search(name, Additive(dict.fromkeys(losses(), 9.0)), evaluations=7)
    assert len(history.steps) == len(judge.plans) == 7


@pytest.mark.parametrize("name", STRATEGIES)
def test_time_is_looked_at_between_evaluations(name):
    now = [0.0]
    rates = Additive(dict.fromkeys(losses(), 9.0))

    def judge(plan):
        now[0] += 10
        return rates(plan)

    history, _ = search(name, judge, timeout=25, clock=lambda: now[0])
    assert len(history.steps) == 3


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_seed_proposes_the_same_plans(name):
    assert search(name, evaluations=25)[1].plans == search(name, evaluations=25)[1].plans


def test_another_seed_proposes_others():
    plans = [Additive(losses()) for _ in range(2)]
    for seed, judge in enumerate(plans):
        strategy("random", seed).run(space_of(), judge, Budget(10))
    assert plans[0].plans != plans[1].plans


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_killed_search_goes_on_as_if_it_had_not_been(name, tmp_path):
    key, space, budget = StudyKey.of(model="m"), space_of(), Budget(24)
    rates = dict.fromkeys(losses(), 0.5)
    whole, expected = search(name, Additive(rates), evaluations=24)

    class Killed(BaseException):
        pass

    first = Additive(rates)

    def dies(plan):
        if len(first.plans) == 5:
            raise Killed
        return first(plan)

    with open_study(tmp_path, key, choices=space.names) as study, pytest.raises(Killed):
        strategy(name, 3).run(space, remembered(dies, study, name=name, seed=3), budget)
    second = Additive(rates)
    with open_study(tmp_path, key, choices=space.names, resume=True) as study:
        judge = remembered(second, study, name=name, seed=3)
        history = strategy(name, 3).run(space, judge, budget)
        states = [record.state for record in study.records()]
    assert first.plans + second.plans == expected.plans
    assert [step.judged for step in history.steps] == [step.judged for step in whole.steps]
    assert states.count("lost") == 1 and states.count("finished") == len(whole.steps)


def test_a_plan_that_fails_is_worth_nothing_and_is_not_tried_again(tmp_path):
    asked = []

    def refuses(plan):
        asked.append(plan)
        raise ModelError("no kernel")

    space = space_of()
    with open_study(tmp_path, StudyKey({}), choices=space.names) as study:
        for _ in range(2):
            judge = remembered(refuses, study, name="fallback")
            history = strategy("fallback").run(space, judge, Budget(3))
            assert not history.best.judged.within
        assert [record.reason for record in study.records()] == ["no kernel"] * 3
    assert len(asked) == 3


def test_a_grid_has_six_blocks_the_first_and_last_group_alone():
    space = space_of(20)
    found = blocks(space)
    assert len(found) == 6
    assert [name for part in found.values() for name in part] == list(space.decided)
    assert {("conv0",), ("conv19",)} <= set(found.values())


@pytest.mark.parametrize("name", STRATEGIES)
def test_plans_are_made_as_the_caller_says(name):
    recipe, space = Recipe("mse"), space_of(3)
    judge = Additive(losses(3))
    strategy(name).run(space, judge, Budget(5), lambda choice: space.follow(choice, recipe))
    assert {plan.recipe for plan in judge.plans if plan.formats} == {recipe}


def test_an_unknown_strategy_is_named_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'random'"):
        strategy("randon")


def test_optuna_is_imported_only_when_a_sampler_runs():
    code = "import sys, octavo.search.strategies; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
