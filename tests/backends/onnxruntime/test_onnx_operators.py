"""Every operator with an INT8 form, executed and compared with ONNX's reference evaluator.

The distance is counted in integer steps of the output's scale. The evaluator computes the same QDQ
graph in float: a step is what one other rounding makes, of the operator or of the convolution that
feeds it. An output that stays float is compared by value.
"""

from functools import cache

import numpy as np
import pytest
from networks import Builder
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops.op_dequantize_linear import DequantizeLinear_25
from onnx_case import BACKEND, TARGET, images, optimized, sqnr, static_case, written
from operator_networks import (
    CONVOLUTIONS,
    INTEGER_PRODUCTS,
    MOVING,
    PRODUCTS,
    RESCALING,
    SATURATING,
)

KERNELS = {
    **{name: ({"QLinearConv"}, write) for name, write in CONVOLUTIONS.items()},
    **{name: (INTEGER_PRODUCTS, write) for name, write in PRODUCTS.items()},
    **{name: ({kernel}, write) for name, (kernel, write) in (RESCALING | MOVING).items()},
}


class DequantizeLinear(DequantizeLinear_25):
    """That of the latest opset, which reads what 13 reads; the evaluator has none before 19."""

    op_domain = ""


@cache
def case(name):
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    made = KERNELS[name][1](b, x) if name in KERNELS else SATURATING[name](b, x)
    outputs = [made] if isinstance(made, str) else made
    return static_case(b.ending(*outputs, image=["batch", 3, 8, 8]), images())


@cache
def evaluated(name):
    """Return what ONNX's reference evaluator computes from the quantized graph."""
    found = case(name)
    reference = BACKEND.reference(found.model, found.plan, found.ranges, TARGET)
    names = list(found.float_outputs)
    evaluator = ReferenceEvaluator(written(reference), new_ops=[DequantizeLinear])
    return dict(zip(names, evaluator.run(names, found.batch), strict=True))


def quantized_outputs(name):
    """Return the outputs that integers are made of."""
    return [output for output in case(name).float_outputs if output in case(name).ranges]


every_operator = pytest.mark.parametrize("name", [*KERNELS, *SATURATING])


@every_operator
def test_it_is_offered_and_executed_in_int8(name):
    found = case(name)
    (group,) = (group for group in found.graph.groups if "op" in group.ops)

    assert found.audit[group.id].executed == "int8"
    assert found.failures == {}


@pytest.mark.parametrize("name", KERNELS)
def test_onnx_runtime_is_left_with_the_integer_kernel(name):
    assert KERNELS[name][0] & set(optimized(case(name).built))


@pytest.mark.parametrize("name", SATURATING)
def test_a_saturating_activation_leaves_no_kernel(name):
    kinds = optimized(case(name).built)

    assert not {"Relu", "Clip", "Max", "Min", "HardSigmoid"} & set(kinds)


@every_operator
def test_int8_is_the_reference_evaluator_within_one_step(name):
    found = case(name)
    for output, expected in evaluated(name).items():
        distance = np.abs(found.int8_outputs[output] - expected).max()
        if output in found.ranges:
            assert distance / found.step(output) <= 1.001
        else:
            assert distance <= 1e-5 * np.abs(expected).max()


@every_operator
def test_int8_is_close_to_float(name):
    for output in case(name).float_outputs:
        assert case(name).sqnr(output) >= 30


@every_operator
def test_int8_is_not_float(name):
    for output, values in case(name).float_outputs.items():
        assert not np.allclose(values, case(name).int8_outputs[output], rtol=1e-5, atol=1e-6)


@every_operator
def test_an_integer_output_holds_at_most_256_values(name):
    for output in quantized_outputs(name):
        assert len(np.unique(case(name).int8_outputs[output])) <= 256


class Last:
    """Keeps the values of the only batch."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.values = {}

    def update(self, tensor, values):
        self.values[tensor] = np.array(values, np.float64)


@every_operator
def test_what_groups_make_can_be_observed_in_the_int8_model(name):
    found = case(name)
    tensors = [output for group in found.graph.groups for output in group.outputs]
    seen = []
    for model in (found.model, found.built):
        observer = Last(tensors)
        BACKEND.observe(model, [found.batch], observer, TARGET)
        seen.append(observer.values)

    expected, values = seen
    for tensor in tensors:
        if name.startswith("hard sigmoid"):  # values that the gate cuts off are not told apart
            expected[tensor] = np.clip(expected[tensor], values[tensor].min(), values[tensor].max())
        assert sqnr(expected[tensor], values[tensor]) >= 25
