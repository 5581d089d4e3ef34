"""Random small networks: whatever the plan, OpenVINO runs the INT8 model as its reference."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_case import Case, planned_case
from openvino_case import BACKEND, relative_error
from random_networks import networks
from random_plans import any_plans

LONG = 1000
LARGE = [HealthCheck.large_base_example, HealthCheck.too_slow, HealthCheck.data_too_large]


def quick(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True,
                    suppress_health_check=LARGE)  # fmt: skip


at_length = settings(max_examples=LONG, deadline=None, suppress_health_check=LARGE)


@st.composite
def planned(draw: st.DrawFn) -> Case:
    """Draw a network with the plan that would be tried first."""
    drawn = draw(networks())
    per_channel = draw(st.booleans())
    return planned_case(drawn.proto, drawn.batch, backend=BACKEND, per_channel=per_channel)


def check(case):
    """Check that what was asked executes or is told why not, and that all outputs are right.

    `audit` raises where the kernels compute something else than the model says.
    """
    products = {group.id for group in case.graph.groups if group.role == "compute"}
    assert all(case.failures.values())
    assert case.failures.keys().isdisjoint(products)
    assert case.int8_outputs.keys() == case.reference_outputs.keys()
    for name, expected in case.reference_outputs.items():
        assert relative_error(expected, case.int8_outputs[name]) < 0.1  # 20 dB


@quick(25)
@given(any_plans(BACKEND))
def test_any_plan_is_its_reference_and_its_products_execute(case):
    check(case)


@quick(15)
@given(planned())
def test_the_initial_plan_is_its_reference_and_executes(case):
    check(case)


@pytest.mark.slow
@at_length
@given(any_plans(BACKEND))
def test_any_plan_at_length(case):
    check(case)


@pytest.mark.slow
@at_length
@given(planned())
def test_the_initial_plan_at_length(case):
    check(case)
