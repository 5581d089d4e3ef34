"""Tensors that ONNX Runtime keeps in blocks of channels come out channels last."""

import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx_case import BACKEND, TARGET, canonical, images, noise, optimized, planned_case, run

from octavo.backends.onnxruntime.layout import blocked
from octavo.backends.onnxruntime.load import native, wrap
from octavo.backends.onnxruntime.observe import _with_outputs


class Layouts:
    """An observer that notes values and the order of their axes in memory."""

    def __init__(self, *tensors):
        self.tensors = tensors
        self.values, self.strides = {}, {}

    def update(self, tensor, values):
        self.values[tensor], self.strides[tensor] = np.array(values), values.strides


def observed(model, batch, *tensors):
    observer = Layouts(*tensors)
    BACKEND.observe(model, [batch], observer, TARGET)
    return observer


def residual():
    """A convolution, a depthwise one, a residual addition, a pool, and a Softmax over channels."""
    b = Builder()
    x = b.node("Relu", [b.conv("image", "stem", 3, 32)], "stem_r")
    y = b.relu6(b.conv(x, "deep", 32, 32, group=32), "deep_6")
    y = b.node("Relu", [b.node("Add", [b.conv(y, "last", 32, 32), x], "skip")], "skip_r")
    y = b.node("MaxPool", [y], "pool", kernel_shape=[2, 2], strides=[2, 2])
    return BACKEND.load(
        b.ending(b.node("Softmax", [y], "soft", axis=1), image=["batch", 3, 16, 16])
    )


NAMES = ("stem_r_out", "deep_6_out", "last_out", "skip_out", "skip_r_out", "pool_out")


def test_what_convolutions_make_and_what_follows_them_is_in_blocks():
    found = blocked(canonical(residual()))

    assert set(NAMES) <= found
    assert "soft_out" not in found


def test_a_transformer_has_nothing_in_blocks():
    assert not blocked(canonical(BACKEND.load(transformer())))


def test_quantized_convolutions_are_not_taken_for_float_ones():
    case = planned_case(convnet(), images(4, 3, 16))

    assert not blocked(canonical(case.built))


def test_a_broadcast_summand_ends_the_blocks():
    b = Builder()
    x = b.node("MaxPool", [b.conv("image", "stem", 3, 16)], "pool", kernel_shape=[1, 1])
    y = b.node("Add", [x, b.weight("shift", noise(1, 1, 8, 8))], "shifted")
    model = BACKEND.load(b.ending(y, image=["batch", 3, 8, 8]))

    found = blocked(canonical(model))

    assert "pool_out" in found
    assert "shifted_out" not in found


def test_values_are_those_of_the_model_whatever_their_layout():
    model, batch = residual(), images(3, 3, 16)
    outputs, _ = _with_outputs(native(model).canonical, NAMES, ())
    expected = BACKEND.open(wrap(outputs, model), TARGET)._session.run(NAMES, batch)

    found = observed(model, batch, *NAMES, "soft_out")

    for name, values in zip(NAMES, expected, strict=True):
        np.testing.assert_allclose(found.values[name], values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        found.values["soft_out"], run(model, batch)["soft_out"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_channels_lie_side_by_side(name):
    found = observed(residual(), images(3, 3, 16), name)

    assert found.strides[name][1] == 4
    assert found.values[name].shape[1] == 32


def test_a_model_that_is_run_as_written_keeps_its_order():
    model = residual()
    written = wrap(native(model).canonical, model, optimize=False)

    found = observed(written, images(3, 3, 16), "skip_r_out")

    assert found.strides["skip_r_out"][3] == 4


def test_onnxruntime_makes_one_copy_of_reordering_and_transpose():
    model = residual()
    turned, _ = _with_outputs(native(model).canonical, NAMES, blocked(canonical(model)))
    kinds = optimized(wrap(turned, model))
    if "ReorderOutput" not in kinds:
        pytest.skip("ONNX Runtime keeps no channels in blocks on this processor")

    assert "Transpose" not in kinds
