import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper, numpy_helper
from onnx_case import BACKEND, NO_VNNI, TARGET, VNNI

from octavo.plan import S8, U8
from octavo.target import Cpu, Target

ARM = Target(threads=1, cpu=Cpu("arm", "aarch64", frozenset({"asimddp"}), 2))


def group(b, output, name="op", target=VNNI, **inputs):
    inputs = inputs or {"rows": ["batch", 16]}
    return BACKEND.graph(BACKEND.load(b.ending(output, **inputs)), target).group_by_id[name]


def formats(found, compute="int8"):
    return [f for f in found.formats if f.compute == compute]


def image_group(op, inputs=(), target=VNNI, **attributes):
    b = Builder(opset=19)
    output = b.node(op, ["image", *(add(b) for add in inputs)], "op", **attributes)
    return group(b, output, target=target, image=["batch", 3, 8, 8])


class TestConvolution:
    def test_a_scale_per_channel_is_first(self):
        b = Builder()
        found = group(b, b.conv("image", "op", 3, 4), image=["batch", 3, 8, 8])

        assert [f.weight.axis for f in found.formats] == [0, None]
        assert {(f.inputs, f.outputs) for f in found.formats} == {((U8,), (U8,))}

    def test_a_dynamic_one_is_refused_for_its_speed(self):
        b = Builder()
        found = group(b, b.conv("image", "op", 3, 4), image=["batch", 3, 8, 8])

        refusals = {o.format.compute: o.refused for o in found.options if o.refused}
        assert refusals == {"int8_dynamic": "ConvInteger runs 5 to 10 times slower than float"}

    def test_a_computed_weight_is_refused(self):
        b = Builder()
        weight = b.node("Tanh", [b.random("raw", 4, 3, 3, 3)], "tanh")
        found = group(b, b.node("Conv", ["image", weight], "op"), image=["batch", 3, 8, 8])

        assert found.refusal == "its weight is not constant"

    def test_a_constant_that_is_convolved_is_no_weight(self):
        b = Builder()
        found = group(b, b.node("Conv", [b.random("x", 1, 3, 8, 8), "w"], "op"), w=["n", 3, 3, 3])

        assert found.refusal == "its weight is not constant"

    def test_a_computed_bias_is_refused(self):
        b = Builder()
        bias = b.node("Tanh", [b.random("raw", 4)], "tanh")
        output = b.node("Conv", ["image", b.random("w", 4, 3, 3, 3), bias], "op")

        assert group(b, output, image=["batch", 3, 8, 8]).refusal == "its bias is not constant"

    def test_a_transposed_one_has_a_scale_per_output_channel_first(self):
        found = image_group("ConvTranspose", [lambda b: b.random("w", 3, 4, 2, 2)])

        assert [f.weight.axis for f in found.formats] == [1, None]
        assert found.role == "compute"

    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({"dilations": [2, 2]}, "it is dilated"),
            ({"auto_pad": "SAME_UPPER"}, "its padding follows from the shape of its output"),
            ({"output_shape": [9, 9]}, "its padding follows from the shape of its output"),
            ({"strides": [2, 2], "output_padding": [1, 1]},
             "its output goes beyond what its weights reach"),
        ],
    )  # fmt: skip
    def test_a_transposed_one_that_is_no_convolution_is_refused(self, attributes, reason):
        weight = [lambda b: b.random("w", 3, 4, 2, 2)]
        found = image_group("ConvTranspose", weight, **attributes)

        assert found.refusal == f"ONNX Runtime has no INT8 ConvTranspose, and {reason}"

    def test_a_transposed_one_of_many_channels_in_groups_is_refused(self):
        b = Builder()
        x = b.node("ConvTranspose", ["x", b.random("w", 66, 1, 2, 2)], "op", group=66)

        assert group(b, x, x=["batch", 66, 8, 8]).refusal == (
            "ONNX Runtime has no INT8 ConvTranspose, and it has groups and more than 64 channels"
        )

    def test_a_transposed_one_of_unknown_size_is_refused(self):
        b = Builder()
        weight = b.random("w", 3, 4, 2, 2)
        x = b.node("ConvTranspose", ["image", weight], "op", strides=[2, 1])

        assert group(b, x, image=["batch", 3, "height", "width"]).refusal == (
            "ONNX Runtime has no INT8 ConvTranspose, and its positions are not known"
        )

    @pytest.mark.parametrize(
        ("weight", "groups", "role"),
        [
            ((4, 3, 3, 3), 1, "compute"),
            ((4, 2, 3, 3), 1, "follow"),
            ((8, 1, 3, 3), 8, "compute"),
            ((8, 1, 1, 1), 8, "follow"),
            ((16, 1, 3, 3), 8, "follow"),
            ((16, 2, 3, 3), 8, "compute"),
            ((4, 8, 3, 3, 3), 1, "follow"),
            ((4, 16, 3, 3, 3), 1, "compute"),
            ((4, 2, 3), 1, "follow"),
        ],
    )
    def test_what_multiplies_little_at_a_time_follows(self, weight, groups, role):
        b = Builder()
        x = b.node("Conv", ["x", b.random("w", *weight)], "op", group=groups)
        shape = ["batch", weight[1] * groups, *[8] * (len(weight) - 2)]

        assert group(b, x, x=shape).role == role


class TestProducts:
    def test_a_matmul_has_a_float_output_first(self):
        b = Builder()
        found = group(b, b.node("MatMul", ["rows", b.random("w", 16, 4)], "op"))

        static = [(f.weight.axis, f.outputs) for f in formats(found)]
        assert static == [(1, (None,)), (1, (U8,)), (None, (None,)), (None, (U8,))]

    @pytest.mark.parametrize(("transposed", "axis"), [(0, 1), (1, 0)])
    def test_a_gemm_has_an_integer_output_first(self, transposed, axis):
        b = Builder()
        weight = b.random("w", 4, 16) if transposed else b.random("w", 16, 4)
        found = group(b, b.node("Gemm", ["rows", weight], "op", transB=transposed))

        static = [(f.weight.axis, f.outputs) for f in formats(found)]
        assert static == [(axis, (U8,)), (axis, (None,)), (None, (U8,)), (None, (None,))]

    def test_a_gemm_before_a_relu_has_no_float_output_even_if_users_see_it(self):
        """ONNX Runtime fuses the two in float where a Gemm follows."""
        b = Builder()
        product = b.node("Gemm", ["rows", b.random("w", 16, 4)], "op")
        last = b.node("Gemm", [b.node("Relu", [product], "relu"), b.random("w2", 4, 3)], "last")
        proto = b.ending(product, last, rows=["batch", 16])
        found = BACKEND.graph(BACKEND.load(proto), VNNI).group_by_id["op"]

        assert {f.outputs for f in formats(found)} == {(U8,)}

    def test_a_product_of_activations_has_no_weight(self):
        b = Builder()
        found = group(b, b.node("MatMul", ["rows", b.node("Transpose", ["rows"], "t")], "op"))

        assert [(f.weight, f.inputs, f.outputs) for f in found.formats] == [
            (None, (U8, U8), (None,))
        ]

    def test_both_can_be_dynamic(self):
        b = Builder()
        matmul = group(b, b.node("MatMul", ["rows", b.random("w", 16, 4)], "op"))
        b = Builder()
        gemm = group(b, b.gemm("rows", "op", 16, 4))

        for found in (matmul, gemm):
            dynamic = formats(found, "int8_dynamic")
            assert [(f.inputs, f.outputs) for f in dynamic] == [((U8,), (None,))]

    def test_a_weight_of_three_axes_is_not_dynamic(self):
        b = Builder()
        output = b.node("MatMul", ["x", b.random("w", 2, 16, 4)], "op")

        found = group(b, output, x=["batch", 2, 8, 16])

        assert [f.weight.axis for f in formats(found)] == [None, None]
        assert formats(found, "int8_dynamic") == []

    def test_a_constant_first_operand_of_three_axes_is_refused(self):
        b = Builder()
        found = group(b, b.node("MatMul", [b.random("w", 2, 3, 4), "x"], "op"), x=[4, "n"])

        assert found.refusal == "its first operand is the constant one"


class TestEmbedding:
    def found(self, *shape, **attributes):
        b = Builder()
        output = b.node("Gather", [b.random("table", *shape), "ids"], "op", **attributes)
        return group(b, output, ids=(TensorProto.INT64, ["batch", 3]))

    def test_a_table_is_stored_in_int8(self):
        (only,) = self.found(1024, 16).formats

        assert (only.compute, only.weight.axis) == ("int8_weight", 1)
        assert (only.inputs, only.outputs) == ((None,), (None,))

    def test_a_small_table_is_refused(self):
        assert self.found(1023, 16).refusal.startswith("its table is too small")

    @pytest.mark.parametrize(("shape", "axis"), [((1024, 16), 1), ((1024, 16), -1), ((20_000,), 0)])
    def test_a_look_up_of_single_values_is_refused(self, shape, axis):
        assert self.found(*shape, axis=axis).refusal == "it looks up single values, not rows"


class TestBetween:
    def test_both_sides_are_integers(self):
        (only,) = image_group("Sigmoid").formats

        assert (only.weight, only.inputs, only.outputs) == (None, (U8,), (U8,))

    @pytest.mark.parametrize("op", ["Add", "Mul"])
    def test_a_constant_operand_is_quantized_as_an_activation_is(self, op):
        (only,) = image_group(op, [lambda b: b.random("c", 8)]).formats

        assert (only.weight, only.inputs) == (U8, (U8,))

    def test_a_constant_in_a_concat_is_quantized_wherever_it_stands(self):
        b = Builder()
        x = b.node("Concat", ["image", "image", b.random("c", 1, 3, 8, 8)], "op", axis=1)
        (only,) = group(b, x, image=[1, 3, 8, 8]).formats

        assert (only.weight, only.inputs) == (U8, (U8, U8))

    def test_bounds_are_no_operands(self):
        bounds = [lambda b, n=n, v=v: b.weight(n, np.float32(v)) for n, v in (("a", 0), ("b", 6))]
        (only,) = image_group("Clip", bounds).formats

        assert only.weight is None

    def test_scales_of_a_resize_are_no_operands(self):
        scales = np.array([1, 1, 2, 2], np.float32)
        (only,) = image_group(
            "Resize", [lambda b: b.weight("roi", scales[:0]), lambda b: b.weight("s", scales)]
        ).formats

        assert only.weight is None

    @pytest.mark.parametrize(
        ("op", "attributes", "reason"),
        [
            ("Resize", {"mode": "linear"},
             "ONNX Runtime resizes integers only by nearest neighbour"),
            ("Resize", {"coordinate_transformation_mode": "tf_crop_and_resize"},
             "it fills in a value that stands for itself in float only"),
            ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]},
             "ONNX Runtime's INT8 AveragePool is slower than the float one, and windows at the "
             "border hold fewer values"),
            ("AveragePool", {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"},
             "ONNX Runtime's INT8 AveragePool is slower than the float one, and windows at the "
             "border hold fewer values"),
            ("AveragePool", {"kernel_shape": [3, 3], "ceil_mode": 1, "strides": [2, 2]},
             "ONNX Runtime's INT8 AveragePool is slower than the float one, and ceil_mode may "
             "leave windows that hold fewer values"),
            ("MaxPool", {"kernel_shape": [3, 3]},
             "ONNX Runtime's INT8 MaxPool is 10 times slower than the float one where no "
             "convolution is before it"),
            ("HardSigmoid", {"alpha": -0.2}, "its slope is not above zero"),
            ("GlobalMaxPool", {}, "ONNX Runtime has no INT8 kernel for GlobalMaxPool"),
            ("Tanh", {}, "ONNX Runtime has no INT8 kernel for Tanh"),
        ],
    )  # fmt: skip
    def test_what_onnx_runtime_lacks_is_refused(self, op, attributes, reason):
        roi = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
        inputs = {
            "Resize": [
                lambda b: b.weight("roi", roi),
                lambda b: b.weight("s", np.array([1, 1, 2, 2], np.float32)),
            ],
        }

        assert image_group(op, inputs.get(op, ()), **attributes).refusal == reason

    def test_a_max_pool_that_returns_indices_is_refused(self):
        b = Builder()
        names = ["y", "indices"]
        b.nodes.append(helper.make_node("MaxPool", ["image"], names, "op", kernel_shape=[2, 2]))
        proto = b.ending(*names, image=["batch", 3, 8, 8])

        (found,) = BACKEND.graph(BACKEND.load(proto), VNNI).groups

        assert found.refusal == "only float32 tensors are quantized, here are int64"

    def test_what_reads_constants_only_is_refused(self):
        b = Builder()
        x = b.node("Sigmoid", [b.random("c", 16)], "op")
        found = group(b, b.node("Sub", ["rows", x], "use"), "op")

        assert found.refusal == "it reads constants only"


class TestTypes:
    def half(self):
        weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float16), "w")
        ends = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["batch", 3, 8, 8]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["batch", 4, 6, 6]),
        ]
        node = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
        graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def test_float16_is_refused(self):
        (found,) = BACKEND.graph(BACKEND.load(self.half()), VNNI).groups

        assert found.refusal == "only float32 tensors are quantized, here are float16"

    def test_int64_is_refused(self):
        b = Builder()
        found = group(b, b.node("Add", ["n", "n"], "op"), n=(TensorProto.INT64, [3]))

        assert found.refusal == "only float32 tensors are quantized, here are int64"


class TestBits:
    def weights(self, network, target):
        graph = BACKEND.graph(BACKEND.load(network()), target)
        return {
            f.weight.bits
            for group in graph.groups
            for f in group.formats
            if f.weight is not None and f.weight.symmetric and f.compute != "int8_weight"
        }

    @pytest.mark.parametrize(
        ("target", "bits"), [(VNNI, 8), (NO_VNNI, 7), (ARM, 8)], ids=["vnni", "avx2", "arm"]
    )
    @pytest.mark.parametrize("network", [convnet, transformer])
    def test_weights_have_the_bits_that_the_processor_sums_exactly(self, network, target, bits):
        assert self.weights(network, target) == {bits}

    def test_activations_are_unsigned_and_weights_signed(self):
        graph = BACKEND.graph(BACKEND.load(convnet()), TARGET)
        found = [f for group in graph.groups for f in group.formats if f.compute == "int8"]

        assert {scheme for f in found for scheme in f.inputs} == {U8}
        assert {f.weight.signed for f in found if f.weight is not None} == {S8.signed}
