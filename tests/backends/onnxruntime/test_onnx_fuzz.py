"""Random small networks: whatever the graph, the INT8 model opens and is the reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx_case import BACKEND, TARGET, Case, planned_case, run, run_canonical
from random_networks import networks
from random_plans import any_plans

from octavo.plan import Plan
from octavo.search.initial import initial_plan

LONG = 2000
LARGE = [HealthCheck.large_base_example, HealthCheck.too_slow, HealthCheck.data_too_large]


def quick(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True,
                    suppress_health_check=LARGE)  # fmt: skip


@st.composite
def single_groups(draw: st.DrawFn) -> Case:
    """Draw a network and a plan that quantizes one of its groups."""
    drawn = draw(networks())
    model = BACKEND.load(drawn.proto)
    groups = BACKEND.graph(model, TARGET).groups
    choices = [(group.id, wanted) for group in groups for wanted in group.formats]
    assume(choices)
    name, wanted = draw(st.sampled_from(choices))
    return Case(model, Plan({name: wanted}), drawn.batch)


def computing(case):
    """Return the groups that a plan quantizes for their own sake."""
    return {group.id for group in case.graph.groups if group.role == "compute"}


def relative_error(expected, found):
    return np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-6)


def check_outputs(case):
    assert case.int8_outputs.keys() == case.float_outputs.keys()
    for name, expected in case.reference_outputs.items():
        assert relative_error(expected, case.int8_outputs[name]) < 0.1  # 20 dB


def check_any_plan(case):
    assert case.failures.keys().isdisjoint(computing(case))
    assert all(case.failures.values())
    check_outputs(case)


def check_initial_plan(drawn, approach, per_channel):
    case = planned_case(drawn.proto, drawn.batch, approach=approach, per_channel=per_channel)
    reasons = initial_plan(case.graph, approach=approach, per_channel=per_channel).reasons

    assert {*case.plan.formats, *reasons} == set(case.graph.group_by_id)
    assert all(reasons.values())
    vanished = {name for name, entry in case.audit.items() if not entry.kernels}
    moves = {group.id for group in case.graph.groups if group.kind == "move"}
    assert case.failures.keys() <= vanished & moves  # a transpose may be optimized away
    check_outputs(case)


def check_one_group(case):
    """Check that one quantized group alone leaves the network close to float.

    The reference has the same forms as the INT8 model, so that only this finds a wrong one. An
    error counts as small beside values of a tenth, as those of x minus its quantized form.
    """
    for name, expected in case.float_outputs.items():
        error = np.linalg.norm(case.int8_outputs[name] - expected)
        assert error < 0.2 * max(np.linalg.norm(expected), 0.1 * expected.size**0.5)


def check_canonical(drawn):
    model, batch = BACKEND.load(drawn.proto), drawn.batch

    found = run_canonical(model, batch)

    for name, expected in run(model, batch).items():
        error = np.linalg.norm(found[name] - expected)
        assert error < 1e-4 * max(np.linalg.norm(expected), 0.1 * expected.size**0.5)


plans = (networks(), st.sampled_from(["static", "dynamic"]), st.booleans())


@quick(40)
@given(any_plans(BACKEND))
def test_any_plan_is_its_reference_and_its_products_execute(case):
    check_any_plan(case)


@quick(40)
@given(*plans)
def test_an_initial_plan_is_its_reference_and_executes(drawn, approach, per_channel):
    check_initial_plan(drawn, approach, per_channel)


@quick(40)
@given(single_groups())
def test_one_group_alone_is_close_to_float(case):
    check_one_group(case)


@quick(40)
@given(networks())
def test_the_canonical_form_computes_the_same(drawn):
    check_canonical(drawn)


@pytest.mark.slow
@settings(max_examples=LONG, deadline=None, suppress_health_check=LARGE)
@given(any_plans(BACKEND))
def test_any_plan_at_length(case):
    check_any_plan(case)


@pytest.mark.slow
@settings(max_examples=LONG, deadline=None, suppress_health_check=LARGE)
@given(*plans)
def test_an_initial_plan_at_length(drawn, approach, per_channel):
    check_initial_plan(drawn, approach, per_channel)


@pytest.mark.slow
@settings(max_examples=LONG, deadline=None, suppress_health_check=LARGE)
@given(single_groups())
def test_one_group_at_length(case):
    check_one_group(case)


@pytest.mark.slow
@settings(max_examples=LONG, deadline=None, suppress_health_check=LARGE)
@given(networks())
def test_the_canonical_form_at_length(drawn):
    check_canonical(drawn)
