from dataclasses import replace

import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper
from onnx_case import (
    BACKEND,
    TARGET,
    Case,
    all_static,
    constants,
    image_case,
    images,
    optimized,
    planned_case,
    run,
    sqnr,
    static_case,
    words,
    written,
)

from octavo.backends.base import Edit
from octavo.errors import ModelError
from octavo.plan import U8, Format, Plan, Range


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

        # a sum that lies halfway between two integers may be rounded either way
        assert case.reference_sqnr(output) >= 70

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

        assert [n.name for n in case.nodes if "tanh_out" in n.input] == ["tanh_out.quantized"]
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

        assert case.failures == {}
        assert case.int8_outputs[x].min() == pytest.approx(1.0, abs=1e-6)

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

    def test_a_relu_behind_a_max_pool_of_a_tensor_with_other_readers(self):
        b = Builder()
        x = b.conv("image", "first", 3, 4)
        y = b.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
        y = b.conv(b.node("Relu", [y], "relu"), "last", 4, 4)
        case = image_case(b, y, b.conv(x, "other", 4, 4))

        assert case.failures == {}
        assert case.steps_from_reference("last_out") <= 1.001

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
    b = Builder()
    case = image_case(b, b.conv("image", "conv", 3, 4))
    doubled = [Edit(n, v * 2) for n, v in BACKEND.weights(case.model, ["conv_w", "conv_b"]).items()]
    edited = BACKEND.edit(case.model, doubled)

    found = Case(edited, all_static(case.graph), case.batch)

    assert sqnr(case.float_outputs["conv_out"] * 2, found.int8_outputs["conv_out"]) >= 30
