import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.errors import UsageError
from octavo.job import QuantizeJob
from octavo.plan import CORRECTIONS
from octavo.search.candidates import candidates, float_reasons
from octavo.target import Target
from octavo.testing.networks import attention, convnet

STATIC = ["static minmax", "static mse", "static percentile"]


@pytest.fixture(scope="module")
def graph():
    backend = ReferenceBackend()
    return backend.graph(backend.load(convnet()), Target())


def names(graph, **options):
    return [candidate.name for candidate in candidates(graph, QuantizeJob(**options))]


def test_static_ranges_come_first_and_dynamic_ones_last(graph):
    backend = ReferenceBackend()
    products = backend.graph(backend.load(attention()), Target())
    assert names(products, correct="none") == [*STATIC, "dynamic"]


def test_a_dynamic_plan_of_next_to_no_work_is_tried_only_when_asked_for(graph):
    """The classifier is the one product: 240 of 97,008 multiply-adds."""
    assert names(graph, correct="none") == STATIC
    assert names(graph, correct="none", approach="dynamic") == ["dynamic"]


def test_a_forced_group_is_quantized_in_every_candidate(graph):
    for approach in ("static", "dynamic"):
        for plan in candidates(graph, QuantizeJob(approach=approach, int8=["stem"], ranges="mse")):
            assert plan.plan.format("stem").compute == "int8"
            assert plan.plan.recipe.ranges == "mse"
            assert "stem" not in plan.reasons


def test_only_what_was_asked_for_is_tried(graph):
    asked = {"approach": "static", "ranges": "entropy", "correct": "none"}
    assert names(graph, **asked) == ["static entropy"]


def test_the_first_plan_of_an_approach_is_tried_corrected_before_other_ranges(graph):
    first, *others = STATIC
    assert names(graph) == [first, "static minmax corrected", *others]
    assert names(graph, ranges="mse") == ["static mse", "static mse corrected"]
    assert names(graph, approach="dynamic") == ["dynamic", "dynamic corrected"]
    tried = candidates(graph, QuantizeJob())
    assert [plan.plan.recipe.corrections for plan in tried] == [(), CORRECTIONS, (), ()]


def test_corrections_that_were_asked_for_are_in_every_plan(graph):
    tried = candidates(graph, QuantizeJob(correct="bias,equalize"))
    assert [plan.name for plan in tried] == [f"{name} corrected" for name in STATIC]
    assert {plan.plan.recipe.corrections for plan in tried} == {("equalize", "bias")}


def test_nothing_is_corrected_by_itself_without_calibration_data(graph):
    tried = candidates(graph, QuantizeJob(), calibrated=False)
    assert [plan.name for plan in tried] == STATIC


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
