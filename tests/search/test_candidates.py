import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.errors import UsageError
from octavo.job import QuantizeJob
from octavo.search.candidates import candidates, float_reasons
from octavo.target import Target
from octavo.testing.networks import attention, convnet


@pytest.fixture(scope="module")
def graph():
    backend = ReferenceBackend()
    return backend.graph(backend.load(convnet()), Target())


def names(graph, **options):
    return [candidate.name for candidate in candidates(graph, QuantizeJob(**options))]


def test_static_ranges_come_first_and_dynamic_ones_last(graph):
    backend = ReferenceBackend()
    products = backend.graph(backend.load(attention()), Target())
    assert names(products) == ["static minmax", "static mse", "static percentile", "dynamic"]


def test_a_dynamic_plan_of_next_to_no_work_is_tried_only_when_asked_for(graph):
    """The classifier is the one product: 240 of 97,008 multiply-adds."""
    assert names(graph) == ["static minmax", "static mse", "static percentile"]
    assert names(graph, approach="dynamic") == ["dynamic"]


def test_a_forced_group_is_quantized_in_every_candidate(graph):
    for approach in ("static", "dynamic"):
        for plan in candidates(graph, QuantizeJob(approach=approach, int8=["stem"], ranges="mse")):
            assert plan.plan.format("stem").compute == "int8"
            assert plan.plan.recipe.ranges == "mse"
            assert "stem" not in plan.reasons


def test_only_what_was_asked_for_is_tried(graph):
    assert names(graph, approach="static", ranges="entropy") == ["static entropy"]
    assert names(graph, approach="dynamic") == ["dynamic"]


def test_the_recipe_holds_the_percentile(graph):
    plan, *_ = candidates(graph, QuantizeJob(ranges="percentile", percentile=99.0))
    assert (plan.plan.recipe.ranges, plan.plan.recipe.percentile) == ("percentile", 99.0)


def test_a_pattern_keeps_a_group_in_float_and_gives_the_reason(graph):
    plan, *_ = candidates(graph, QuantizeJob(float=["stem"]))
    assert "stem" not in plan.quantized
    assert plan.reasons["stem"] == "kept in float by the pattern 'stem'"


def test_plans_that_quantize_nothing_are_left_out(graph):
    job = QuantizeJob(float=["*"])
    assert candidates(graph, job) == ()
    assert "pattern '*'" in float_reasons(graph, job)["stem"]


def test_a_pattern_that_matches_nothing_is_refused(graph):
    with pytest.raises(UsageError, match="matches no group"):
        candidates(graph, QuantizeJob(float=["stemm"]))
