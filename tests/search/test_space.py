"""Plans of a space: every format is of its group, what is forced is in, and followers follow."""

import math
from dataclasses import replace

import pytest
from chains import CHANNELS, chain
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import random_formats, spaces

from octavo.backends.reference import ReferenceBackend
from octavo.errors import UsageError
from octavo.graph import Capability
from octavo.measure import Statistics, tied_ranges
from octavo.plan import FP32, S8, U8, Format, Plan, Recipe
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.search.results import RESULTS
from octavo.search.space import make_space, variant
from octavo.target import Target
from octavo.testing.networks import NETWORKS, samples

COUNTS, SEEDS = st.integers(1, 12), st.integers(0, 1000)
APPROACHES = st.sampled_from(["static", "dynamic"])
TARGET = Target()


@st.composite
def chosen(draw, space):
    """Draw a name for some of the groups that are decided on."""
    choice = {group: draw(st.sampled_from(names)) for group, names in space.decided.items()}
    return {group: name for group, name in choice.items() if draw(st.integers(0, 3))}


def per_tensor_too(graph):
    """Return the graph with formats of one scale per weight behind those of one per channel."""
    groups = []
    for group in graph.groups:
        plain = [replace(one, weight=S8) for one in group.formats if one.weight == CHANNELS]
        options = (*group.options, *(Capability(one) for one in plain))
        groups.append(replace(group, options=options))
    return replace(graph, groups=tuple(groups))


@settings(max_examples=60, deadline=None)
@given(COUNTS, SEEDS, APPROACHES)
def test_the_choice_of_everything_is_the_plan_to_start_from(count, seed, approach):
    graph = chain(count, seed)
    space = make_space(graph, approaches=[approach])
    assert space.follow(space.everything) == initial_plan(graph, approach=approach).plan
    assert space.follow({}) == space.follow(space.everything)


@settings(max_examples=150, deadline=None)
@given(st.data(), COUNTS, SEEDS, st.booleans())
def test_a_choice_is_kept_and_the_others_follow(data, count, seed, per_tensor):
    graph = per_tensor_too(chain(count, seed))
    forced = data.draw(st.sets(st.sampled_from([group.id for group in graph.groups])))
    refused = data.draw(st.sets(st.sampled_from([group.id for group in graph.groups])))
    space = make_space(
        graph,
        per_tensor=per_tensor,
        int8_patterns=sorted(forced),
        refused=dict.fromkeys(refused - forced, "asked"),
    )
    choice = data.draw(chosen(space))
    plan = space.follow(choice)
    assert set(plan.formats) <= set(space.choices)
    assert forced <= set(plan.formats)
    for group, one in plan.formats.items():
        assert one in space.choices[group]
        if group in space.decided:
            assert one.name == choice.get(group, space.names[group][0])
        elif group not in forced:
            assert_between(graph, plan, graph.group_by_id[group])
    for group in space.decided.keys() - plan.formats.keys():
        assert choice[group] == "fp32"


def assert_between(graph, plan, group):
    """Assert that a group reads integers, half of its values at least, and has a use for INT8."""

    def size(tensor):
        return math.prod(graph.tensors[tensor].shape)

    made = {name: graph.producer[name].id for name in group.inputs if name in graph.producer}
    integers = [name for name, maker in made.items() if plan.format(maker).outputs == (U8,)]
    assert 2 * sum(map(size, integers)) >= sum(map(size, group.inputs))
    shrinks = 2 * sum(map(size, group.outputs)) <= sum(map(size, group.inputs))
    assert shrinks or any(reader.id in plan.formats for reader in graph.readers(group))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(sorted(NETWORKS)))
def test_every_choice_is_built_and_executed_as_asked(data, name):
    backend, network = ReferenceBackend(), NETWORKS[name]()
    model, batch = backend.load(network), samples(network, 2)
    graph = backend.graph(model, TARGET)
    space = make_space(graph)
    plan = space.follow(data.draw(chosen(space)))
    schemes = wanted_tensors(graph, [plan])
    statistics = Statistics(schemes)
    backend.observe(model, [batch], statistics, TARGET)
    ranges = tied_ranges(statistics, graph.planned(plan), plan.recipe, schemes)
    built = backend.build(model, plan, ranges, TARGET)
    assert backend.open(built, TARGET).run(batch).keys() == set(graph.outputs)
    audits = backend.audit(model, plan, built, batch, TARGET)
    executed = {one.group: one.executed for one in audits if one.executed != "fp32"}
    assert executed == {group: one.compute for group, one in plan.formats.items()}


@settings(max_examples=100, deadline=None)
@given(spaces(), SEEDS)
def test_a_plan_has_the_formats_given_that_are_not_float_in_the_order_of_groups(space, seed):
    formats = random_formats(space, seed)
    plan = space.plan(dict(reversed(formats.items())), Recipe("mse"))
    kept = [group.id for group in space.graph.groups if group.id in plan.formats]
    assert list(plan.formats) == kept
    assert all(plan.format(group) == one for group, one in formats.items())
    assert FP32 not in plan.formats.values()
    assert plan.recipe == Recipe("mse")


@settings(max_examples=100, deadline=None)
@given(spaces())
def test_names_are_those_of_the_formats_float_last(space):
    for group, names in space.names.items():
        assert set(names) == {one.name for one in space.choices[group]}
        assert "fp32" not in names[:-1]
    for group, names in space.decided.items():
        assert names == space.names[group]
        assert len(names) > 1 and names[-1] == "fp32"
    for group in space.names.keys() - space.decided.keys():
        assert FP32 not in space.choices[group]


@settings(max_examples=60, deadline=None)
@given(COUNTS, SEEDS, st.booleans(), st.booleans())
def test_every_group_has_choices_or_a_reason_and_one_format_of_each_variant(
    count, seed, per_channel, per_tensor
):
    graph = per_tensor_too(chain(count, seed))
    space = make_space(graph, per_channel=per_channel, per_tensor=per_tensor)
    assert space.choices.keys() | space.reasons.keys() == {group.id for group in graph.groups}
    assert space.choices.keys().isdisjoint(space.reasons)
    for formats in space.choices.values():
        found = [(variant(one), one.name if per_channel and per_tensor else "") for one in formats]
        assert len(set(found)) == len(found)
        scales = {"per tensor"} if not per_channel else {"per channel"}
        scales |= {"per tensor"} if per_tensor else set()
        assert {" ".join(one.name.split(" ")[1:]) for one in formats if one.weight} <= scales


def test_each_group_that_computes_is_decided_on_and_what_follows_is_not():
    space = make_space(per_tensor_too(chain(6, 0)), approaches=["static"], per_tensor=True)
    roles = {group.id: group.role for group in space.graph.groups}
    assert set(space.decided) == {name for name in space.choices if roles[name] == "compute"}
    assert set(space.decided.values()) == {("int8 per channel", "int8 per tensor", "fp32")}


def test_patterns_and_refusals_decide_before():
    graph = chain(5, 2)
    space = make_space(
        graph, float_patterns=["g0", "g1"], int8_patterns=["g1"], refused={"g3": "no"}
    )
    assert {"g0", "g1", "g3"}.isdisjoint(space.decided)
    plan = space.follow(dict.fromkeys(space.decided, "fp32"))
    assert "g1" in plan.formats and "g0" not in plan.formats and "g3" not in plan.formats
    assert space.reasons["g0"] == "kept in float by the pattern 'g0'"
    assert space.reasons["g3"] == "no"


def test_the_ranges_of_a_recipe_go_into_plans_that_have_ranges():
    space = make_space(chain(4, 1))
    recipe = Recipe("mse", corrections=("bias",))
    assert space.follow(space.everything, recipe).recipe == recipe
    floats = dict.fromkeys(space.decided, "fp32")
    assert space.follow(floats, recipe) == Plan(recipe=Recipe(corrections=("bias",)))


@pytest.mark.parametrize("choice", [{"g0": "int3"}, {"nothing": "fp32"}])
def test_a_choice_that_there_is_not_is_an_error(choice):
    with pytest.raises(ValueError, match="is no choice for"):
        make_space(chain(2, 0)).follow(choice)


def test_groups_that_are_refused_later_have_a_reason_and_no_choice():
    space = make_space(chain(6, 0))
    less = space.without({"g0": "its range is too wide"})
    assert less.choices.keys() == space.choices.keys() - {"g0"}
    assert less.reasons == {**space.reasons, "g0": "its range is too wide"}
    assert "g0" not in less.follow({}).formats


def test_the_share_in_float_is_that_of_the_work():
    graph = chain(6, 0)
    heavy = next(iter(make_space(graph).decided))
    groups = [replace(one, macs=9000) if one.id == heavy else one for one in graph.groups]
    space = make_space(replace(graph, groups=tuple(groups)))
    others = len(space.decided) - 1
    assert space.float_share(space.everything) == 0
    assert space.float_share({heavy: "fp32"}) == pytest.approx(9 / (9 + others))
    assert space.float_share(dict.fromkeys(space.decided, "fp32")) == 1


def test_reasons_are_told_for_every_float_group_of_a_plan():
    space = make_space(chain(5, 2), refused={"g2": "no"})
    plan = Plan({"g0": space.choices["g0"][1]})
    reasons = space.reasons_for(plan, "too dear")
    assert reasons == {"g1": "too dear", "g2": "no", "g3": "too dear", "g4": "too dear"}


def test_what_works_on_results_has_no_choice_unless_a_pattern_asks():
    graph = chain(4, 0)
    last = graph.groups[-1]
    between = Capability(Format("int8", None, (U8,) * len(last.inputs), (U8,)))
    last = replace(last, kind="activation", role="follow", options=(between,))
    ended = replace(graph, groups=(*graph.groups[:-1], last))
    assert make_space(ended).reasons[last.id] == RESULTS
    assert make_space(ended, int8_patterns=[last.id]).choices[last.id] == last.formats


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(UsageError, match="matches no group"):
        make_space(chain(2), float_patterns=["conv*"])
