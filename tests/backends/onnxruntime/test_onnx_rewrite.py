from dataclasses import replace

import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper, numpy_helper
from onnx_case import (
    BACKEND,
    NO_VNNI,
    TARGET,
    VNNI,
    Case,
    all_static,
    images,
    optimized,
    planned_case,
    rows,
    run,
    sqnr,
    static_case,
    words,
    written,
)

from octavo.errors import ModelError
from octavo.plan import U8, Format, Plan, Range


def image_case(b, *outputs, kept=(), batch=None, target=TARGET):
    proto = b.ending(*outputs, image=["batch", 3, 8, 8])
    return static_case(proto, batch or images(), *kept, target=target)


def constants(model):
    return {t.name: numpy_helper.to_array(t) for t in written(model).graph.initializer}


def made_by(case, op):
    return [node for node in case.nodes if node.op_type == op]


def readers(case, tensor):
    return {node.name for node in case.nodes if tensor in node.input}


@pytest.fixture(
    scope="module",
    params=[(convnet, images(4, 3, 16)), (transformer, words())],
    ids=["convnet", "transformer"],
)
def network_case(request):
    network, batch = request.param
    return planned_case(network(), batch)


class TestNetworks:
    @pytest.fixture
    def case(self, network_case):
        return network_case

    def test_every_group_executes_as_the_plan_asks(self, case):
        assert case.failures == {}

    def test_int8_is_the_reference(self, case):
        (output,) = case.graph.outputs

        assert case.reference_sqnr(output) >= 100

    def test_int8_is_close_to_float(self, case):
        (output,) = case.graph.outputs

        assert 30 <= case.sqnr(output) <= 60

    def test_nothing_that_is_quantized_keeps_its_float_weight(self, case):
        quantized = {
            weight
            for group in case.graph.groups
            if not case.plan.format(group.id).is_float
            for weight in case.graph.op_by_name[group.id].weights
        }

        assert quantized
        assert not quantized & constants(case.built).keys()

    def test_names_are_unique(self, case):
        names = [node.name for node in case.nodes]
        values = [value for node in case.nodes for value in node.output]

        assert len(set(names)) == len(names)
        assert len(set(values)) == len(values)

    def test_building_twice_gives_the_same_file(self, case):
        again = Case(case.model, case.plan, case.batch)

        assert written(again.built) == written(case.built)

    def test_an_empty_plan_changes_nothing(self, case):
        same = Case(case.model, Plan(), case.batch)

        for name, values in same.float_outputs.items():
            np.testing.assert_allclose(same.int8_outputs[name], values, rtol=1e-4, atol=1e-5)

    def test_only_standard_operators_are_written(self, case):
        assert {node.domain for node in case.nodes} == {""}

    @pytest.mark.parametrize("samples", [1, 3])
    def test_other_batch_sizes_run(self, case, samples):
        batch = {name: array[:samples] for name, array in case.batch.items()}
        (output,) = case.graph.outputs

        found = run(case.built, batch)[output]

        assert sqnr(run(case.model, batch)[output], found) >= 30


class TestFixedBatch:
    @pytest.mark.parametrize("approach", ["static", "dynamic"])
    @pytest.mark.parametrize(
        ("network", "batch"),
        [(convnet, images(4, 3, 16)), (transformer, words())],
        ids=["convnet", "transformer"],
    )
    def test_every_group_executes_as_the_plan_asks(self, network, batch, approach):
        proto = network()
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 4

        assert planned_case(proto, batch, approach=approach).failures == {}


class TestBorders:
    def test_the_model_input_is_quantized_once_for_all_readers(self):
        b = Builder()
        case = image_case(b, b.conv("image", "left", 3, 4), b.conv("image", "right", 3, 4))

        assert readers(case, "image") == {"image.quantized"}
        assert case.failures == {}

    def test_a_float_reader_of_the_model_input_reads_it_unquantized(self):
        b = Builder()
        case = image_case(b, b.conv("image", "conv", 3, 4), b.node("Tanh", ["image"], "tanh"))

        assert readers(case, "image") == {"image.quantized", "tanh"}
        np.testing.assert_allclose(
            case.int8_outputs["tanh_out"], case.float_outputs["tanh_out"], rtol=1e-5
        )

    def test_a_tensor_with_an_integer_and_a_float_reader_is_quantized_for_both(self):
        b = Builder()
        x = b.conv("image", "first", 3, 4)
        case = image_case(b, b.conv(x, "second", 4, 4), b.node("Tanh", [x], "tanh"))

        assert case.failures == {}
        assert len(np.unique(case.int8_outputs["tanh_out"])) <= 256
        assert case.steps_from_reference("second_out") <= 1.001

    def test_a_float_tensor_is_quantized_once_for_two_integer_readers(self):
        b = Builder()
        x = b.node("Tanh", ["image"], "tanh")
        case = image_case(b, b.conv(x, "left", 3, 4), b.conv(x, "right", 3, 4))

        assert len([node for node in case.nodes if node.name.startswith("tanh_out.quant")]) == 1
        assert case.failures == {}

    def test_a_graph_output_that_is_read_on_keeps_its_name(self):
        b = Builder()
        x = b.conv("image", "first", 3, 4)
        case = image_case(b, x, b.conv(x, "second", 4, 4))

        assert case.int8_outputs.keys() == {"first_out", "second_out"}
        assert case.steps_from_reference("first_out") <= 1.001

    def test_outputs_keep_their_declared_types_and_shapes(self):
        case = static_case(convnet(), images(4, 3, 16))

        declared = BACKEND.load(written(case.built)).outputs

        assert case.plan.format("head").outputs == (U8,)
        assert declared == case.model.outputs

    def test_a_looked_up_output_keeps_its_declared_shape(self):
        b = Builder()
        x = b.node("Gather", [b.random("table", 2048, 16), "ids"], "embedding")
        case = static_case(b.ending(x, ids=(TensorProto.INT64, ["batch", 8])), words())

        assert BACKEND.load(written(case.built)).outputs == case.model.outputs

    def test_a_graph_output_before_an_activation_keeps_its_name_and_values(self):
        b = Builder()
        x = b.conv("image", "first", 3, 4)
        case = image_case(b, x, b.conv(b.node("Relu", [x], "relu"), "second", 4, 4))

        assert case.failures == {}
        assert case.int8_outputs["first_out"].min() < 0
        assert case.steps_from_reference("second_out") <= 1.001

    def test_a_group_that_stays_float_between_two_others(self):
        b = Builder()
        x = b.conv(b.conv(b.conv("image", "one", 3, 4), "two", 4, 4), "three", 4, 4)
        case = image_case(b, x, kept=["two"])

        executed = {name: entry.executed for name, entry in case.audit.items()}
        assert executed == {"one": "int8", "two": "fp32", "three": "int8"}

    def test_both_operands_of_an_add_may_be_the_same_tensor(self):
        b = Builder()
        case = image_case(b, b.node("Add", ["image", "image"], "twice"))

        assert readers(case, "image") == {"image.quantized"}
        assert case.steps_from_reference("twice_out") <= 1.001

    def test_a_body_reads_the_dequantized_value(self):
        b = Builder()
        x = b.conv("image", "first", 3, 4)
        output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
        body = helper.make_graph(
            [helper.make_node("Sigmoid", [x], ["inner"])], "body", [], [output]
        )
        b.nodes.append(
            helper.make_node("If", ["flag"], ["y"], "if", then_branch=body, else_branch=body)
        )
        proto = b.ending(
            b.reshape("y", "end", -1, 4, 8, 8), x,
            image=["batch", 3, 8, 8], flag=(TensorProto.BOOL, []),
        )  # fmt: skip
        case = static_case(proto, {**images(), "flag": np.array(True)}, "end")

        expected = 1 / (1 + np.exp(-case.int8_outputs["first_out"]))
        np.testing.assert_allclose(case.int8_outputs["end_out"], expected, rtol=1e-4)


class TestSaturation:
    def conv_with(self, activation, output_range):
        """Build conv + activation with a range of our own for what it makes."""
        b = Builder()
        x = b.conv("image", "conv", 3, 4)
        made = b.relu6(x, "act") if activation == "Clip" else b.node("Relu", [x], "act")
        case = image_case(b, made)
        ranges = {**case.ranges, made: Range(*output_range)}
        return case, BACKEND.build(case.model, case.plan, ranges, TARGET)

    @pytest.mark.parametrize(
        ("activation", "output_range"),
        [("Relu", (0.0, 5.0)), ("Clip", (0.0, 5.0)), ("Clip", (0.0, 6.0))],
    )
    def test_it_is_left_to_the_quantizer_where_the_range_keeps_its_bounds(
        self, activation, output_range
    ):
        _, built = self.conv_with(activation, output_range)

        assert activation not in [node.op_type for node in written(built).graph.node]

    @pytest.mark.parametrize(
        ("activation", "output_range"),
        [("Relu", (-1.0, 5.0)), ("Clip", (0.0, 7.0)), ("Clip", (-1.0, 5.0))],
    )
    def test_it_is_kept_where_the_range_goes_beyond(self, activation, output_range):
        case, built = self.conv_with(activation, output_range)

        found = run(built, {"image": 3 * case.batch["image"]})["act_out"]

        assert activation in [node.op_type for node in written(built).graph.node]
        scale = (output_range[1] - output_range[0]) / 255
        assert found.min() == pytest.approx(0, abs=1e-6)
        assert found.max() == pytest.approx(min(6, output_range[1]), abs=scale)

    def test_a_clip_away_from_zero_is_kept(self):
        b = Builder()
        bounds = [b.weight(n, np.float32(v)) for n, v in (("low", 1.0), ("high", 2.0))]
        x = b.node("Clip", [b.conv("image", "conv", 3, 4), *bounds], "clip")
        case = image_case(b, x)

        assert case.int8_outputs[x].min() == pytest.approx(1.0, abs=case.step(x))

    @pytest.mark.parametrize("pooled", [False, True])
    def test_a_concat_with_negative_values_does_not_widen_the_range_of_a_relu(self, pooled):
        b = Builder()
        x = b.node("Relu", [b.conv("image", "one", 3, 4)], "relu")
        y = b.conv("image", "two", 3, 4)
        if pooled:
            window = {"kernel_shape": [2, 2], "strides": [2, 2]}
            x, y = b.node("MaxPool", [x], "pool", **window), b.conv(y, "half", 4, 4, stride=2)
        case = image_case(b, b.conv(b.node("Concat", [x, y], "join", axis=1), "last", 8, 4))

        assert case.failures == {}
        assert case.steps_from_reference("last_out") <= 1.001
        assert case.sqnr("last_out") >= 30

    def test_a_relu_behind_a_concat_is_left_to_the_quantizer(self):
        b = Builder()
        x = b.node("Concat", [b.conv("image", "one", 3, 4), "image"], "join", axis=1)
        case = image_case(b, b.conv(b.node("Relu", [x], "relu"), "last", 7, 4))

        assert case.failures == {}
        assert "Relu" not in [node.op_type for node in case.nodes]

    def test_a_relu_of_two_readers_does_not_rename_what_it_reads(self):
        b = Builder()
        x = b.node("LeakyRelu", [b.conv("image", "first", 3, 8)], "leaky")
        case = image_case(b, b.conv(b.node("Relu", [x], "relu"), "second", 8, 4))

        seen = Seen("leaky_out", "relu_out")
        BACKEND.observe(case.built, [case.batch], seen, TARGET)

        assert seen.arrays["leaky_out"].min() < 0 <= seen.arrays["relu_out"].min()

    @pytest.mark.parametrize("activation", ["Relu", "Clip"])
    def test_one_behind_a_tensor_with_other_readers_executes_in_int8(self, activation):
        b = Builder()
        x = b.conv("image", "first", 3, 8)
        y = b.relu6(x, "act") if activation == "Clip" else b.node("Relu", [x], "act")
        case = image_case(b, b.conv(y, "second", 8, 4), b.node("Sigmoid", [x], "other"))

        assert case.failures == {}
        assert case.steps_from_reference("second_out") <= 1.001

    def test_a_chain_of_two_saturations_keeps_both_bounds(self):
        b = Builder()
        x = b.node("LeakyRelu", [b.relu6("image", "clip")], "leaky")
        case = image_case(b, b.node("Relu", [x], "relu"))

        assert case.failures == {}
        assert case.sqnr("relu_out") >= 30


class Seen:
    def __init__(self, *tensors):
        self.tensors = tensors
        self.arrays = {}

    def update(self, tensor, values):
        self.arrays[tensor] = np.array(values)


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

        stored = next(a for a in constants(case.built).values() if a.shape == (8, 3, 3, 3))
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


class TestPlans:
    @pytest.fixture
    def case(self):
        b = Builder()
        return image_case(b, b.conv("image", "conv", 3, 4))

    def refusal(self, case, formats):
        with pytest.raises(ModelError) as caught:
            BACKEND.build(case.model, Plan(formats), case.ranges, TARGET)
        return str(caught.value)

    def test_an_unknown_group_names_the_nearest_one(self, case):
        known = case.plan.format("conv")

        assert "did you mean 'conv'" in self.refusal(case, {"convv": known})

    def test_a_format_that_is_not_offered_is_refused(self, case):
        asked = replace(case.plan.format("conv"), outputs=(None,))

        assert "none of the formats" in self.refusal(case, {"conv": asked})

    def test_a_refused_format_is_refused_with_its_reason(self):
        b = Builder()
        case = image_case(b, b.node("Tanh", ["image"], "tanh"))

        message = self.refusal(case, {"tanh": Format("int8", None, (U8,), (U8,))})

        assert "no INT8 kernel for Tanh" in message

    def test_a_named_float_group_stays_float(self, case):
        built = BACKEND.build(case.model, Plan({"conv": Format()}), {}, TARGET)

        assert optimized(built) == optimized(case.model)

    def test_every_offered_format_of_a_network_builds_and_executes(self):
        base = planned_case(convnet(), images(4, 3, 16))
        for group in base.graph.groups:
            for offered in group.formats:
                case = replace(base, plan=Plan({**base.plan.formats, group.id: offered}))
                assert group.id not in case.failures


def test_a_built_model_can_be_quantized_further():
    whole = planned_case(transformer(), words())
    some = dict(list(whole.plan.formats.items())[:3])
    half = replace(whole, plan=Plan(some))

    case = planned_case(written(half.built), words())

    assert {group for group, f in case.plan.formats.items() if not f.is_float} >= {"v", "output"}
    assert case.failures == {}
    assert sqnr(whole.float_outputs["norm2_out"], case.int8_outputs["norm2_out"]) >= 30


def test_an_edited_model_is_built_from_its_edited_weights():
    from octavo.backends.base import Edit

    b = Builder()
    case = image_case(b, b.conv("image", "conv", 3, 4))
    doubled = [Edit(n, v * 2) for n, v in BACKEND.weights(case.model, ["conv_w", "conv_b"]).items()]
    edited = BACKEND.edit(case.model, doubled)

    found = Case(edited, all_static(case.graph), case.batch)

    assert sqnr(case.float_outputs["conv_out"] * 2, found.int8_outputs["conv_out"]) >= 30
