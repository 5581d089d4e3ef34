"""Masks that choose nothing of what is computed."""

import numpy as np
import pytest
from networks import Builder
from onnx_case import TARGET, rows, run
from openvino_case import BACKEND, int8_case, relative_error, run_unmended, unmended

from octavo.backends.onnxruntime.load import native, wrap
from octavo.backends.openvino.mend import mended
from octavo.errors import ModelError

RIGHT = 1e-4


def masked(*mask, constant_first=False):
    """Return two products in a row of what a mask chooses of a product and a number."""
    b = Builder()
    x = b.gemm("rows", "zero", 16, 3)
    choices = [x, b.weight("number", np.float32(-1))]
    chosen = b.weight("mask", np.array(mask))
    x = b.node("Where", [chosen, *(choices[::-1] if constant_first else choices)], "choice")
    x = b.gemm(x, "one", 3, 5)
    return b.ending(b.gemm(x, "two", 5, 6), rows=["batch", 16])


NOTHING = pytest.mark.parametrize(
    "proto",
    [masked(False, False, False), masked(True, True, True, constant_first=True)],
    ids=["the number second", "the number first"],
)


@NOTHING
def test_only_the_mended_products_of_a_constant_compile_and_execute_in_int8(proto, monkeypatch):
    case = int8_case(proto, rows(), "zero")
    (output,) = case.graph.outputs

    assert case.failures == {}
    assert {case.audit[name].executed for name in ("one", "two")} == {"int8"}
    assert relative_error(case.reference_outputs[output], case.int8_outputs[output]) < RIGHT
    if TARGET.cpu.has_vnni:
        return  # what kernels do without the mend was only seen on processors without VNNI
    with pytest.raises(ModelError, match="cannot compile"):
        run_unmended(unmended(case), case.batch, monkeypatch)


@NOTHING
def test_a_computed_mask_chooses_the_same_of_numbers_that_are_none(proto):
    before = unmended(int8_case(proto, rows(), "zero"))
    after = wrap(mended(native(before).original), before)
    batch = rows()
    batch["rows"][0], batch["rows"][1, 3] = np.nan, np.inf

    (expected,), (found,) = (run(model, batch).values() for model in (before, after))

    assert "Less" in [node.op_type for node in native(after).original.graph]
    np.testing.assert_array_equal(found, expected)
    assert mended(native(after).original) is native(after).original


@pytest.mark.parametrize(
    "proto",
    [masked(True, False, True), masked(True, True, True), masked(False, True, False)],
    ids=["some", "all", "one"],
)
def test_a_mask_that_chooses_something_is_left_alone(proto):
    case = int8_case(proto, rows(), "zero")

    assert "Less" not in [node.op_type for node in case.nodes]
    assert case.failures == {}


def test_a_float_model_is_left_alone():
    graph = native(BACKEND.load(masked(False, False, False))).original

    assert mended(graph) is graph
