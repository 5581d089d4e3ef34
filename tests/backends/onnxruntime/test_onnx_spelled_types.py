"""Shapes and types that a canonical model has: sequences have none, a Pad names no axes."""

import numpy as np
import pytest
from networks import Builder
from onnx_case import BACKEND, canonical, images, run, run_canonical
from respelling import CHANNELS, integers, respelled


class TestSequences:
    def test_a_sequence_has_no_type_of_a_tensor(self):
        b = Builder()
        x = b.conv("image", "first", 3, CHANNELS)
        made = b.node("SequenceConstruct", [x, b.node("Tanh", [x], "t")], "sequence")
        joined = b.node("ConcatFromSequence", [made], "op", axis=1)
        model = BACKEND.load(b.ending(b.conv(joined, "last", 16, 8), image=["batch", 3, 8, 8]))
        types = {v.name: v.type for node in canonical(model) for v in node.outputs}

        assert types["sequence_out"] is None
        assert types["op_out"] is not None
        (name,) = run(model, images())
        expected, found = run(model, images())[name], run_canonical(model, images())[name]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


class TestPads:
    @pytest.mark.parametrize("axes", [(2, 3), (3, 2), (-1, -2), (1,)])
    def test_a_pad_of_some_axes_pads_all(self, axes):
        def write(b, x):
            pads = integers(b, "p", *range(1, len(axes) + 1), *[2] * len(axes))
            return b.node("Pad", [x, pads, "", integers(b, "a", *axes)], "op", mode="reflect")

        b = Builder(opset=18)
        x = b.conv("image", "first", 3, CHANNELS)
        (_, pad) = canonical(BACKEND.load(b.ending(write(b, x), image=["batch", 3, 8, 8])))

        assert len(pad.inputs) < 4
        assert pad.inputs[1].const_value.numpy().size == 8
        assert respelled(write, opset=18) == ["Pad"]

    def test_a_value_that_the_mode_does_not_use_is_left_out(self):
        def write(b, x):
            pads = integers(b, "p", 0, 0, 1, 1, 0, 0, 1, 1)
            value = b.weight("v", np.float32(-1))
            return b.node("Pad", [x, pads, value], "op", mode="edge")

        b = Builder()
        x = b.conv("image", "first", 3, CHANNELS)
        (_, pad) = canonical(BACKEND.load(b.ending(write(b, x), image=["batch", 3, 8, 8])))

        assert all(value is None for value in pad.inputs[2:])
        assert respelled(write) == ["Pad"]
