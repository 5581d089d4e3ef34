"""A model whose kernels lie is found out by the audit."""

import numpy as np
import pytest
from networks import convnet
from onnx_case import TARGET, images, rows
from openvino_case import BACKEND, int8_case, unmended, without_mends
from test_openvino_mend import ONE_KERNEL, chain, padded, pooled

from octavo.backends.openvino.check import check_outputs
from octavo.errors import ModelError


@pytest.fixture(scope="module")
def case():
    return int8_case(convnet(8), images())


def changed(case, change):
    return {name: change(values.copy()) for name, values in case.int8_outputs.items()}


def shuffled(values):
    return np.ascontiguousarray(values[:, ::-1])


def half_wrong(values):
    values[::2] *= 0.7
    return values


def not_a_number(values):
    values.flat[0] = np.nan
    return values


@pytest.mark.parametrize("known", [True, False], ids=["with float", "alone"])
def test_what_openvino_computes_passes(case, known):
    model = case.model if known else None

    assert check_outputs(model, case.built, case.batch, case.int8_outputs, TARGET) is None


@pytest.mark.parametrize("known", [True, False], ids=["with float", "alone"])
@pytest.mark.parametrize("change", [shuffled, not_a_number])
def test_other_outputs_are_an_error(case, change, known):
    model = case.model if known else None

    with pytest.raises(ModelError, match="run it in onnxruntime"):
        check_outputs(model, case.built, case.batch, changed(case, change), TARGET)


def test_outputs_that_are_a_little_off_are_found_beside_the_float_model(case):
    with pytest.raises(ModelError, match="while FP32 is at"):
        check_outputs(case.model, case.built, case.batch, changed(case, half_wrong), TARGET)


def test_outputs_within_the_noise_of_quantization_pass(case):
    assert case.sqnr("head_out") > 20  # the float model's outputs instead of the INT8 model's

    check_outputs(case.model, case.built, case.batch, case.float_outputs, TARGET)


LYING = {
    "padding that counts": (pooled, images),
    "padding a product of one column": (lambda: padded(axis=3, behind="MatMul"), images),
    **({"gemms in one kernel": (lambda: chain("Gemm"), rows)} if ONE_KERNEL else {}),
}


@pytest.mark.parametrize("name", LYING)
def test_the_audit_refuses_a_model_that_openvino_computes_wrongly(name, monkeypatch):
    write, batch = LYING[name]
    lying = int8_case(write(), batch(), "op")

    with (
        without_mends(monkeypatch),
        pytest.raises(ModelError, match="something else"),
    ):
        BACKEND.audit(lying.model, lying.plan, unmended(lying), lying.batch, TARGET)


def test_outputs_that_change_their_size_are_not_compared(case):
    (name, *_) = case.int8_outputs
    shorter = {**case.int8_outputs, name: case.int8_outputs[name][:1] * 5}

    assert check_outputs(case.model, case.built, case.batch, shorter, TARGET) is None
