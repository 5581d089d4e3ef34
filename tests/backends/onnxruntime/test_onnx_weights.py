from dataclasses import replace

import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto
from onnx_case import (
    BACKEND,
    NO_VNNI,
    TARGET,
    VNNI,
    constants,
    image_case,
    images,
    rows,
    static_case,
    words,
)

from octavo.errors import ModelError
from octavo.plan import Plan, Range


class TestWeights:
    def test_a_shared_weight_is_quantized_for_each_reader(self):
        b = Builder()
        weight = b.random("shared", 4, 3, 3, 3)
        one = b.node("Conv", ["image", weight], "one")
        two = b.node("Conv", ["image", weight, b.random("bias", 4)], "two", pads=[1] * 4)
        case = image_case(b, one, two)

        assert case.failures == {}
        assert max(map(case.steps_from_reference, (one, two))) <= 1.001

    def test_a_shared_weight_of_which_one_reader_stays_float(self):
        b = Builder()
        weight = b.random("shared", 4, 3, 3, 3)
        one, two = (b.node("Conv", ["image", weight], name) for name in ("one", "two"))
        case = image_case(b, one, two, kept=["two"])

        np.testing.assert_allclose(
            case.int8_outputs[two], case.float_outputs[two], rtol=1e-4, atol=1e-5
        )
        assert 30 <= case.sqnr(one) <= 60

    def test_a_shared_constant_operand_is_stored_once(self):
        b = Builder()
        c = b.random("shared", 1, 3, 8, 8)
        x = b.node("Add", [b.node("Add", ["image", c], "one"), c], "two")
        case = image_case(b, b.node("Concat", [x, c, c], "join", axis=1), batch=images(1))

        assert case.failures == {}
        assert len([name for name in constants(case.built) if name.startswith("shared.u8")]) == 3

    def test_a_table_that_is_also_a_weight_is_stored_for_both(self):
        b = Builder()
        table = b.random("table", 2048, 16)
        x = b.node("Gather", [table, "ids"], "embedding")
        x = b.node("ReduceMean", [x], "mean", axes=[1], keepdims=0)
        x = b.node("Gemm", [x, table], "logits", transB=1)
        proto = b.ending(x, ids=(TensorProto.INT64, ["batch", 8]))
        case = static_case(proto, words(vocabulary=2048))

        assert case.failures == {}
        assert case.sqnr(x) >= 30
        assert constants(case.built).keys().isdisjoint({"table"})

    def test_two_look_ups_share_one_stored_table(self):
        b = Builder()
        table = b.random("table", 2048, 16)
        one = b.node("Gather", [table, "ids"], "one")
        two = b.node("Gather", [table, "others"], "two")
        spec = (TensorProto.INT64, ["batch", 8])
        case = static_case(
            b.ending(one, two, ids=spec, others=spec),
            {"ids": words()["ids"], "others": words()["ids"][::-1]},
        )

        assert case.failures == {}
        assert [a.dtype for a in constants(case.built).values() if a.shape == (2048, 16)] == [
            "int8"
        ]
        assert min(map(case.sqnr, (one, two))) >= 35

    def test_a_channel_of_zeros_stays_zero(self):
        b = Builder()
        weight = b.rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
        weight[1] = 0
        bias = np.array([0.5, 0.25, 0, -1], np.float32)
        x = b.node("Conv", ["image", b.weight("w", weight), b.weight("bias", bias)], "conv")
        case = image_case(b, x)

        assert case.steps_from_reference(x) <= 1.001
        np.testing.assert_allclose(case.int8_outputs[x][:, 1], 0.25, atol=case.step(x))

    def test_a_weight_of_zeros_gives_the_bias(self):
        b = Builder()
        weight = b.weight("w", np.zeros((4, 3, 3, 3), np.float32))
        bias = b.weight("bias", np.array([0.5, 0.25, 0, -1], np.float32))
        x = b.node("Conv", ["image", weight, bias], "conv")
        case = image_case(b, x)

        np.testing.assert_allclose(case.int8_outputs[x], case.float_outputs[x], atol=case.step(x))

    @pytest.mark.parametrize("per_channel", [True, False])
    def test_a_bias_far_larger_than_its_weight_stays_right(self, per_channel):
        b = Builder()
        weight = b.rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
        weight[2] *= 1e-9
        bias = b.weight("bias", np.array([0.5, -0.5, 3000.0, 1], np.float32))
        x = b.node("Conv", ["image", b.weight("w", weight), bias], "conv")
        case = image_case(b, x)
        wanted = [f for f in case.graph.group_by_id["conv"].formats
                  if (f.weight.axis is not None) == per_channel]  # fmt: skip
        case = replace(case, plan=Plan({"conv": wanted[0]}))

        assert case.steps_from_reference(x) <= 1.001
        np.testing.assert_allclose(case.int8_outputs[x], case.float_outputs[x], atol=case.step(x))

    def test_an_integer_bias_does_not_overflow_where_all_weights_are_tiny(self):
        b = Builder()
        weight = b.weight("w", (b.rng.normal(size=(16, 4)) * 1e-12).astype(np.float32))
        x = b.node("Gemm", ["rows", weight, b.weight("c", np.full(4, 1e3, np.float32))], "gemm")
        case = static_case(b.ending(x, rows=["batch", 16]), rows())

        np.testing.assert_allclose(case.int8_outputs[x], 1e3, rtol=0.005)

    @pytest.mark.parametrize("shape", [(10,), (1, 10), (1,), ()])
    def test_every_form_of_a_gemm_bias(self, shape):
        b = Builder()
        x = b.node("Gemm", ["rows", b.random("w", 16, 10), b.random("c", *shape)], "gemm")
        case = static_case(b.ending(x, rows=["batch", 16]), rows())

        assert case.failures == {}
        assert case.steps_from_reference(x) <= 1.001
        assert case.sqnr(x) >= 30

    @pytest.mark.parametrize(("target", "limit"), [(VNNI, 127), (NO_VNNI, 63)])
    def test_weights_use_the_bits_of_the_processor(self, target, limit):
        b = Builder()
        case = image_case(b, b.conv("image", "conv", 3, 8), target=target)

        stored = next(a for a in constants(case.built).values() if a.shape == (8, 4, 3, 3))
        assert stored.dtype == np.int8
        assert [np.abs(channel).max() for channel in stored] == [limit] * 8

    def test_a_scale_per_tensor_is_one_number(self):
        b = Builder()
        case = image_case(b, b.conv("image", "conv", 3, 8))
        plan = Plan({"conv": case.graph.group_by_id["conv"].formats[1]})

        scales = [a.shape for name, a in constants(replace(case, plan=plan).built).items()
                  if name.endswith(".scale")]  # fmt: skip

        assert scales == [()] * len(scales) != []


class TestRanges:
    def test_scales_are_those_of_the_ranges(self):
        b = Builder()
        x = b.conv("image", "conv", 3, 4)
        case = image_case(b, x)
        ranges = {"image": Range(-1.0, 1.55), x: Range(0.0, 25.5)}

        found = constants(BACKEND.build(case.model, case.plan, ranges, TARGET))

        assert found["image.scale"] == np.float32(0.01)
        assert (found["image.zero_point"], found["image.zero_point"].dtype) == (100, np.uint8)
        assert found["conv_out.scale"] == np.float32(0.1)
        assert found["conv_out.zero_point"] == 0

    def test_tied_tensors_get_the_union_of_their_ranges(self):
        b = Builder()
        x = b.conv("image", "conv", 3, 4)
        y = b.node("MaxPool", [x], "pool", kernel_shape=[2, 2])
        case = image_case(b, y)
        ranges = {"image": Range(-3, 3), x: Range(-5.1, 0.0), y: Range(0.0, 20.4)}

        found = constants(BACKEND.build(case.model, case.plan, ranges, TARGET))

        assert found["conv_out.scale"] == found["pool_out.scale"] == np.float32(0.1)
        assert found["conv_out.zero_point"] == found["pool_out.zero_point"] == 51

    @pytest.mark.parametrize(
        ("missing", "where"), [("image", "model input"), ("conv_out", "'conv'")]
    )
    def test_a_missing_range_is_named_with_what_makes_the_tensor(self, missing, where):
        b = Builder()
        case = image_case(b, b.conv("image", "conv", 3, 4))
        ranges = {name: value for name, value in case.ranges.items() if name != missing}

        with pytest.raises(ModelError, match=f"{missing}.*{where}"):
            BACKEND.build(case.model, case.plan, ranges, TARGET)
