"""Products of rows are kept apart where their columns are scaled or shifted before a quantizer.

OpenVINO makes one kernel of such products where the processor has VNNI, and takes the numbers of
the columns into the quantizer, which that kernel computes wrongly. Without VNNI they are right.
"""

from dataclasses import replace

import numpy as np
import pytest
from networks import Builder
from onnx_case import TARGET, rows, run
from openvino_case import (
    int8_case,
    kernels,
    relative_error,
    unmended,
    without_mends,
)

from octavo.backends.onnxruntime.load import native, wrap
from octavo.backends.openvino.executed import Executed
from octavo.backends.openvino.kernels import profile_session
from octavo.backends.openvino.mend import mended

LOUD = np.where(np.arange(32) < 3, 200.0, 1.0).astype(np.float32)


def products(operator="Mul", column=LOUD, activation="Relu", rank=2):
    """Return two products with an activation and another number for each column between them."""
    b, x = Builder(), "rows"
    if rank == 3:
        x = b.node("Unsqueeze", [x, b.weight("axes", np.array([1]))], "deeper")
    x = b.node("MatMul", [x, b.random("first_w", 16, 32, scale=0.25)], "first")
    x = b.node("Add", [x, b.random("first_b", 32)], "bias")
    x = b.node(activation, [x], "act")
    x = b.node(operator, [x, b.weight("columns", column)], "op")
    y = b.node("MatMul", [x, b.random("second_w", 32, 8, scale=0.2)], "second")
    return b.ending(y, rows=["batch", 16])


def is_apart(model):
    return any(node.name.endswith(".kept") for node in native(model).original.graph)


VARIED = [
    ("Mul", LOUD),
    ("Div", LOUD),
    ("Add", LOUD),
    ("Sub", LOUD),
    ("Mul", np.linspace(0.5, 1.5, 32, dtype=np.float32)),
]


@pytest.mark.parametrize("kept", [(), ("op",), ("first", "bias")])
@pytest.mark.parametrize(("operator", "column"), VARIED)
def test_the_mended_model_is_its_reference(operator, column, kept):
    case = int8_case(products(operator, column), rows(), *kept)

    assert case.failures == {}
    (name,) = case.reference_outputs
    assert relative_error(case.reference_outputs[name], case.int8_outputs[name]) < 5e-3


@pytest.mark.parametrize(("operator", "column"), VARIED)
def test_no_kernel_computes_both_products(operator, column):
    case = int8_case(products(operator, column), rows(1))
    ran = profile_session(case.built, case.batch, TARGET, runs=1)
    executed = Executed(case.graph, case.built, ran.kernels)

    assert is_apart(case.built)
    assert all(executed.compute(group) == "int8" for group in case.graph.groups)
    both = {"first", "second"}
    assert not any(both <= set(executed.groups_of(one)) for one in executed.kernels.values())


@pytest.mark.skipif(TARGET.cpu.has_vnni, reason="only seen on processors without VNNI")
def test_openvino_takes_the_numbers_of_columns_into_the_quantizer(monkeypatch):
    """Where this fails, the mend may not be needed any more."""
    case = int8_case(products("Mul"), rows())
    with without_mends(monkeypatch):
        layers = {layer for one in kernels(unmended(case), case.batch) for layer in one.layers}

    assert "op_out.quantized" in layers
    assert "op" not in layers


@pytest.mark.parametrize("kept", [(), ("op",), ("first", "bias")])
def test_the_mend_keeps_what_a_model_computes(kept):
    """ONNX Runtime runs both forms as they are written."""
    case = int8_case(products(), rows(), *kept)
    before = replace(unmended(case), optimize=False)
    after = wrap(mended(native(before).original), before)
    (expected,), (found,) = (run(model, case.batch).values() for model in (before, after))

    assert is_apart(after)
    np.testing.assert_array_equal(expected, found)
    assert mended(native(after).original) is native(after).original


@pytest.mark.parametrize("activation", ["Sigmoid", "Tanh", "LeakyRelu"])
def test_columns_behind_another_activation_are_kept_apart(activation):
    assert is_apart(int8_case(products(activation=activation), rows()).built)


@pytest.mark.parametrize(
    "write",
    [
        lambda: products(column=np.full(32, 2.0, np.float32)),
        lambda: products(column=np.float32(2.0)),
        lambda: products(rank=3),
    ],
    ids=["equal numbers", "one number", "rows of rows"],
)
def test_what_openvino_computes_rightly_is_left_alone(write):
    assert not is_apart(int8_case(write(), rows()).built)


def test_a_bias_of_its_own_for_each_column_is_left_alone():
    b = Builder()
    x = b.node("Relu", [b.gemm("rows", "first", 16, 32)], "act")
    case = int8_case(b.ending(b.gemm(x, "second", 32, 8), rows=["batch", 16]), rows())

    assert not is_apart(case.built)


def test_columns_that_no_product_made_are_left_alone():
    b = Builder()
    x = b.node("Mul", ["rows", b.weight("columns", LOUD[:16])], "op")
    x = b.node("Relu", [x], "act")
    case = int8_case(b.ending(b.gemm(x, "head", 16, 8), rows=["batch", 16]), rows())

    assert not is_apart(case.built)


def test_a_batch_normalization_between_products_keeps_them_apart():
    b = Builder()
    x = b.batch_norm(b.node("Relu", [b.gemm("rows", "first", 16, 32)], "act"), "norm", 32)
    case = int8_case(b.ending(b.gemm(x, "second", 32, 8), rows=["batch", 16]), rows())

    assert "BatchNormalization" in [node.op_type for node in case.nodes]
    assert is_apart(case.built)
