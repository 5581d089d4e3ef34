"""Outputs of a model that are computed twice."""

import numpy as np
import pytest
from networks import Builder
from onnx_case import TARGET, constants, images
from openvino_case import executed_unmended, int8_case, relative_error

from octavo.backends.onnxruntime.load import native
from octavo.backends.openvino.mend import mended

OPERATORS = {
    "GlobalAveragePool": {},
    "MaxPool": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "LeakyRelu": {},
    "Transpose": {"perm": [0, 1, 3, 2]},
}
RIGHT = 1e-4


def repeated(op, times=2, returned=2):
    """Return a network that computes the same again and again, of which a convolution reads one."""
    b = Builder()
    x = b.conv("image", "first", 3, 4)
    made = [b.node(op, [x], f"same{i}", **OPERATORS[op]) for i in range(times)]
    last = b.node("Conv", [made[0], b.random("w", 2, 4, 1, 1)], "last")
    others = [b.node("Tanh", [y], f"other{i}") for i, y in enumerate(made[returned:])]
    return b.ending(*made[:returned], *others, last, image=["batch", 3, 8, 8])


@pytest.mark.parametrize("op", OPERATORS)
def test_only_the_mended_product_executes_in_int8_that_reads_an_output_made_twice(op, monkeypatch):
    case = int8_case(repeated(op), images())

    assert case.audit["last"].executed == "int8"
    for name, expected in case.reference_outputs.items():
        assert relative_error(expected, case.int8_outputs[name]) < RIGHT
    if TARGET.cpu.has_vnni:
        return  # what kernels do without the mend was only seen on processors without VNNI
    broken = executed_unmended(case, monkeypatch)
    assert broken.compute(case.graph.group_by_id["last"]) == "fp32"


def test_every_output_gets_a_scale_of_its_own_next_to_the_others():
    case = int8_case(repeated("MaxPool", times=3, returned=3), images())

    found = {name: value for name, value in constants(case.built).items() if "same" in name}
    scales = sorted({float(value) for value in found.values() if value.dtype == np.float32})
    assert len(scales) == 3
    assert scales[2] / scales[0] - 1 < 1e-6
    assert case.audit["last"].executed == "int8"


def test_mending_outputs_twice_is_mending_once():
    once = native(int8_case(repeated("MaxPool", 3, 3), images()).built).original

    assert mended(once) is once


@pytest.mark.parametrize(("times", "returned"), [(1, 1), (2, 1), (3, 0)])
def test_what_is_no_output_twice_is_left_alone(times, returned):
    case = int8_case(repeated("MaxPool", times, returned), images())

    assert not any(name.endswith(".own") for name in constants(case.built))
    assert case.audit["last"].executed == "int8"
