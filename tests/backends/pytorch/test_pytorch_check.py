"""A model whose kernels compute something else is found out by the audit."""

import dataclasses

import numpy as np
import pytest
from torch_case import BACKEND, NO_VNNI, TARGET, Case, ResNet, images, seeded

from octavo.backends.pytorch.check import check_outputs
from octavo.backends.pytorch.emulate import emulated
from octavo.errors import ModelError
from octavo.target import Cpu, Target
from octavo.testing.simulation import sqnr


@pytest.fixture(scope="module")
def case():
    return Case(seeded(ResNet()), (images(),), target=NO_VNNI)


def test_what_kernels_compute_is_what_is_written_down_a_second_time(case):
    import torch

    with torch.inference_mode():
        (found,) = emulated(case.built.native.program)(*case.inputs)
    assert sqnr(case.output(case.built), found.numpy().ravel()) > 50


def test_what_kernels_compute_passes(case):
    assert check_outputs(case.model, case.built, case.batch, case.run(case.built), TARGET) is None


def test_a_float_model_has_nothing_to_check(case):
    wrong = {name: -value for name, value in case.run(case.model).items()}
    assert check_outputs(case.model, case.model, case.batch, wrong, TARGET) is None


@pytest.mark.parametrize("change", [
    lambda values: np.ascontiguousarray(values[:, ::-1]), lambda values: values * 0,
    lambda values: values * np.nan,
])  # fmt: skip
def test_other_outputs_are_an_error(case, change):
    wrong = {name: change(value) for name, value in case.run(case.built).items()}
    with pytest.raises(ModelError, match="oneDNN computes something else"):
        check_outputs(case.model, case.built, case.batch, wrong, TARGET)


@pytest.mark.skipif(not TARGET.cpu.saturates, reason="this processor sums products in 32 bits")
def test_weights_of_eight_bits_are_found_out_where_they_saturate(case):
    vnni = Target(cpu=Cpu("any", "x86_64", frozenset({"avx512_vnni"}), 1))
    module = seeded(ResNet())
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.sign() * 0.1  # each at the end of its range
    other = dataclasses.replace(case, module=module, target=vnni)
    with pytest.raises(ModelError, match="made for a processor with VNNI"):
        BACKEND.audit(other.model, other.plan, other.built, other.batch, TARGET)
