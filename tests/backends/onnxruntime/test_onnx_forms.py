"""Operators that INT8 computes from others: the same function, in every shape."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import Builder
from onnx_case import (
    BACKEND,
    Case,
    constants,
    image_case,
    images,
    noise,
    optimized,
    run,
    sqnr,
    static_case,
    written,
)

from octavo.backends.onnxruntime.forms.convolution import merge_groups, merged_groups


def node_of(case, name):
    return next(node for node in case.nodes if node.name == name)


def attribute(node, name):
    return next((a for a in node.attribute if a.name == name), None)


class TestGroups:
    @pytest.mark.parametrize(
        ("channels", "groups", "merged"),
        [(4, 32, 8), (8, 32, 4), (32, 4, 1), (16, 2, 2), (3, 7, 7), (5, 12, 6), (1, 64, 32),
         (40, 2, 1)],
    )  # fmt: skip
    def test_as_many_are_merged_as_fill_32_channels(self, channels, groups, merged):
        assert merged_groups(channels, groups) == merged

    @given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.data())
    def test_merged_groups_compute_the_same(self, outputs, inputs, factor, data):
        merged = data.draw(st.integers(1, 4))
        groups = factor * merged
        weight = noise(groups * outputs, inputs)
        x = noise(groups, inputs)

        expected = np.einsum("goi,gi->go", weight.reshape(groups, outputs, inputs), x).ravel()
        wider = merge_groups(weight, groups, merged).reshape(factor, merged * outputs, -1)
        found = np.einsum("goi,gi->go", wider, x.reshape(factor, -1)).ravel()

        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    def test_a_float_convolution_keeps_its_groups(self):
        b = Builder()
        x = b.conv(b.conv("image", "first", 3, 16), "op", 16, 16, group=4)
        case = image_case(b, x, kept=["op"])

        assert attribute(node_of(case, "op"), "group").i == 4

    def test_an_integer_one_has_fewer(self):
        b = Builder()
        case = image_case(b, b.conv(b.conv("image", "first", 3, 16), "op", 16, 16, group=4))

        assert attribute(node_of(case, "op"), "group").i == 1
        assert constants(case.built)["op_w.s8" if "op_w.s8" in constants(case.built)
                                     else "op.merged.s8"].shape == (16, 16, 3, 3)  # fmt: skip

    def test_a_depthwise_one_keeps_them(self):
        b = Builder()
        case = image_case(b, b.conv(b.conv("image", "first", 3, 16), "op", 16, 16, group=16))

        assert attribute(node_of(case, "op"), "group").i == 16

    def test_a_weight_of_two_convolutions_with_other_groups_is_merged_for_each(self):
        b = Builder()
        x = b.conv("image", "first", 3, 8)
        weight = b.random("shared", 8, 2, 3, 3, scale=0.3)
        y = b.node("Conv", [x, weight], "four", group=4, pads=[1] * 4)
        narrow = b.node("Slice", [x, *(b.weight(n, np.array([v])) for n, v in
                                       (("from", 0), ("to", 4), ("axis", 1)))], "half")  # fmt: skip
        z = b.node("Conv", [narrow, weight], "two", group=2, pads=[1] * 4)
        case = image_case(b, y, z)

        assert case.failures == {}
        assert min(case.sqnr(y), case.sqnr(z)) >= 30


@st.composite
def transposes(draw):
    """Draw the attributes of a ConvTranspose, its sizes, and which of them are free."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    kernel = draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank))
    strides = draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    size = draw(st.lists(st.integers(2, 5), min_size=rank, max_size=rank))
    pads = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    added = [draw(st.integers(0, s - 1)) for s in strides]
    out = [
        (n - 1) * s + k - a - b + o
        for n, s, k, a, b, o in zip(size, strides, kernel, pads, pads[rank:], added, strict=False)
    ]
    if min(out) < 1:
        pads = [0] * (2 * rank)
    free = [draw(st.booleans()) for _ in range(rank)]
    attributes = {"strides": strides, "pads": pads, "output_padding": added, "group": groups}
    return attributes, kernel, size, free, draw(st.booleans())


def transposed_case(attributes, kernel, size, free, bias):
    b = Builder()
    channels, outputs = 4, 3
    operands = [b.random("w", channels, outputs, *kernel, scale=0.5)]
    operands += [b.random("c", outputs * attributes["group"])] if bias else []
    x = b.node("ConvTranspose", ["x", *operands], "op", **attributes)
    sizes = [f"d{i}" if is_free else size[i] for i, is_free in enumerate(free)]
    shape = ["batch", channels, *sizes]
    return static_case(b.ending(x, x=shape), {"x": noise(2, channels, *size)})


class TestTransposed:
    @settings(max_examples=60, deadline=None, derandomize=True,
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(transposes())
    def test_any_is_executed_in_int8_or_says_why_not(self, drawn):
        case = transposed_case(*drawn)
        (group,) = case.graph.groups

        if not group.formats:
            assert group.refusal.startswith("ONNX Runtime has no INT8 ConvTranspose, and ")
            return
        assert case.audit["op"].executed == "int8"
        assert case.steps_from_reference("op_out") <= 1.001
        assert case.sqnr("op_out") >= 25

    def test_other_sizes_run_where_they_are_free(self):
        attributes = {"strides": [2, 2], "pads": [1] * 4, "output_padding": [0, 0], "group": 1}
        for free in ([True, False], [True, True]):
            case = transposed_case(attributes, [4, 4], [5, 5], free, True)
            x = {"x": 0.5 * noise(3, 4, 9, 5, seed=3)}

            assert case.failures == {}
            assert sqnr(run(case.model, x)["op_out"], run(case.built, x)["op_out"]) >= 25

    def test_what_is_cut_off_in_whole_strides_is_not_computed(self):
        attributes = {"strides": [2, 2], "pads": [2, 3, 2, 3], "output_padding": [0, 0], "group": 1}
        case = transposed_case(attributes, [4, 5], [5, 5], [False, False], True)

        assert list(attribute(node_of(case, "op"), "pads").ints) == [0, 1, 0, 0]

    @pytest.mark.parametrize("activation", ["Relu", "LeakyRelu"])
    def test_an_activation_behind_it(self, activation):
        b = Builder()
        x = b.node("ConvTranspose", ["image", b.random("w", 3, 4, 2, 2)], "op", strides=[2, 2])
        case = image_case(b, b.node(activation, [x], "after"))

        assert case.failures == {}
        assert case.steps_from_reference("after_out") <= 1.001
        assert "Relu" not in optimized(case.built)

    def test_it_needs_no_transposes_between_convolutions(self):
        b = Builder()
        x = b.conv("image", "first", 3, 8)
        weight = b.random("w", 8, 4, 2, 2)
        x = b.node("ConvTranspose", [x, weight], "op", strides=[2, 2])
        kinds = optimized(image_case(b, b.conv(x, "last", 4, 4)).built)

        assert "DepthToSpace" not in kinds
        # one into the layout of the integer kernels, one of rows, one out of it
        assert kinds.count("Transpose") == 3


class TestPools:
    @pytest.mark.parametrize("free", [("height", "width"), ("height", 8)])
    def test_an_average_over_free_sizes(self, free):
        b = Builder()
        x = b.node("AveragePool", [b.conv("image", "first", 3, 8)], "op", kernel_shape=[3, 3])
        case = static_case(b.ending(x, image=["batch", 3, *free]), images())

        assert case.failures == {}
        assert case.steps_from_reference(x) <= 1.001

    def test_the_average_of_a_constant_is_it(self):
        b = Builder()
        x = b.node("AveragePool", ["image"], "op", kernel_shape=[3, 3])
        case = image_case(b, x, batch={"image": np.full((1, 3, 8, 8), 0.7, np.float32)})

        np.testing.assert_allclose(case.int8_outputs[x], 0.7, rtol=1e-5)

    def test_a_float_average_between_integers_stays_float(self):
        b = Builder()
        x = b.node(
            "AveragePool", [b.conv("image", "first", 3, 8)], "op", kernel_shape=[3, 3],
            pads=[1] * 4,
        )  # fmt: skip
        case = image_case(b, b.conv(x, "last", 8, 4))

        assert case.audit["op"].executed == "fp32"
        assert "QLinearAveragePool" not in optimized(case.built)


class TestResizing:
    def test_channels_are_the_batch_while_it_grows(self):
        b = Builder()
        scales = b.weight("scales", np.array([1, 1, 2, 2], np.float32))
        x = b.node("Resize", [b.conv("image", "first", 3, 8), "", scales], "op", mode="nearest")
        case = image_case(b, b.conv(x, "last", 8, 4))

        assert case.audit["op"].executed == "int8"
        assert "Reshape" in optimized(case.built)
        assert case.steps_from_reference("last_out") <= 1.001

    def test_a_free_size_grows_too(self):
        b = Builder()
        scales = b.weight("scales", np.array([1, 1, 2, 3], np.float32))
        x = b.node("Resize", [b.conv("image", "first", 3, 8), "", scales], "op", mode="nearest")
        case = static_case(b.ending(x, image=["batch", 3, "height", "width"]), images())
        batch = {"image": noise(2, 3, 5, 7)}

        assert case.failures == {}
        assert run(case.built, batch)[x].shape == (2, 8, 10, 21)


class TestMovers:
    @pytest.mark.parametrize("shape", [("batch", 3, 8, 8), (4, 3, 8, 8), ("n", 3, "h", "w")])
    @pytest.mark.parametrize("mode", ["DCR", "CRD"])
    def test_depth_to_space_of_free_sizes(self, shape, mode):
        b = Builder()
        x = b.node("MaxPool", [b.conv("image", "first", 3, 8)], "max", kernel_shape=[3, 3])
        x = b.node("DepthToSpace", [x], "op", blocksize=2, mode=mode)
        case = static_case(b.ending(x, image=list(shape)), images())

        assert case.failures == {}
        assert case.steps_from_reference(x) == 0
        assert case.sqnr(x) >= 30

    def test_a_pad_fills_in_the_integer_of_its_value(self):
        b = Builder()
        pads = b.weight("pads", np.array([0, 0, 1, 0, 0, 0, 0, 0]))
        value = b.weight("value", np.float32(0.5))
        x = b.node("Pad", [b.conv("image", "first", 3, 8), pads, value], "op")
        case = image_case(b, x)

        filled = case.int8_outputs[x][:, :, 0]
        assert np.abs(filled - 0.5).max() <= case.step(x) / 2
        assert case.audit["op"].executed == "int8"


class TestFixedShapes:
    def test_the_built_model_declares_what_it_makes(self):
        """ONNX Runtime believes the shapes that a file declares, and drops reshapes by them."""
        b = Builder()
        weight = b.random("w", 6, 4, 2)
        x = b.node("ConvTranspose", ["x", weight], "op", strides=[2], pads=[0, 1], group=1)
        case = static_case(b.ending(x, x=[2, 6, 8]), {"x": noise(2, 6, 8)})

        assert case.int8_outputs[x].shape == case.float_outputs[x].shape
        made = {name for node in case.nodes for name in node.output if name.startswith("op")}
        declared = {
            v.name for v in written(case.built).graph.value_info if v.type.tensor_type.shape.dim
        }
        assert len(made) > 4
        assert not made & declared

    def test_a_case_runs_at_another_batch(self):
        b = Builder()
        x = b.node("HardSwish", [b.conv("image", "first", 3, 8)], "op")
        case = image_case(b, x)

        assert isinstance(case, Case)
        assert BACKEND.open(case.built, case.target).run(images(7))[x].shape == (7, 8, 8, 8)
