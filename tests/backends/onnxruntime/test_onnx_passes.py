"""Operators respelled: what they become, and that they compute the same."""

import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import BACKEND, canonical, images, noise, run, run_canonical
from respelling import CHANNELS, SIZE, integers, number, respelled


class TestArithmetic:
    @pytest.mark.parametrize(("count", "adds"), [(2, 1), (3, 2), (5, 4)])
    def test_a_sum_becomes_adds(self, count, adds):
        def write(b, x):
            others = [b.node("Tanh", [x], f"t{i}") for i in range(count)]
            return b.node("Sum", others, "op")

        assert respelled(write) == ["Tanh"] * count + ["Add"] * adds

    def test_a_sum_of_one_stays(self):
        assert respelled(lambda b, x: b.node("Sum", [x], "op")) == ["Sum"]

    def test_a_difference_from_a_constant_is_an_add(self):
        def write(b, x):
            return b.node("Sub", [b.node("Tanh", [x], "t"), b.random("c", 8, 1, 1)], "op")

        assert respelled(write) == ["Tanh", "Add"]

    def test_a_constant_minus_a_tensor_stays(self):
        def write(b, x):
            return b.node("Sub", [b.random("c", 8, 1, 1), b.node("Tanh", [x], "t")], "op")

        assert respelled(write) == ["Tanh", "Sub"]

    @pytest.mark.parametrize(
        ("op", "value", "kind"),
        [("Max", 0.0, "Relu"), ("Max", -1.0, "Clip"), ("Min", 0.5, "Clip")],
    )
    @pytest.mark.parametrize("backwards", [False, True])
    def test_an_extreme_of_one_number_is_a_saturation(self, op, value, kind, backwards):
        def write(b, x):
            operands = [x, number(b, "c", value)]
            return b.node(op, operands[::-1] if backwards else operands, "op")

        assert respelled(write) == [kind]

    def test_an_extreme_of_a_constant_with_more_axes_stays(self):
        def write(b, x):
            return b.node("Max", [x, b.weight("c", np.zeros((1, 1, 1, 1, 1), np.float32))], "op")

        assert respelled(write) == ["Max"]

    def test_an_extreme_of_two_tensors_stays(self):
        assert respelled(lambda b, x: b.node("Max", [x, x], "op")) == ["Max"]

    def test_saturations_in_a_row_are_one(self):
        def write(b, x):
            return b.node("Min", [b.node("Relu", [x], "relu"), number(b, "six", 0.6)], "op")

        assert respelled(write) == ["Clip"]

    @pytest.mark.parametrize(
        ("first", "second"), [((-1, 0.5), (0.1, 2)), ((0.2, 1), (-1, 0.1)), ((0, 1), (2, 3))]
    )
    def test_clips_in_a_row_keep_their_order(self, first, second):
        def write(b, x):
            for i, (low, high) in enumerate((first, second)):
                x = b.node("Clip", [x, number(b, f"l{i}", low), number(b, f"h{i}", high)], f"c{i}")
            return x

        assert respelled(write) == ["Clip"]

    @pytest.mark.parametrize("op", ["Min", "Max"])
    @pytest.mark.parametrize("values", [(0.4, 0.6), (0.6, 0.4), (-0.5, -0.1, -0.3)])
    def test_extremes_in_a_row_are_one(self, op, values):
        def write(b, x):
            for i, value in enumerate(values):
                x = b.node(op, [x, number(b, f"c{i}", value)], f"m{i}")
            return x

        assert respelled(write) == ["Clip"]

    def test_a_wider_bound_behind_a_clip_changes_nothing(self):
        def write(b, x):
            clip = b.node("Clip", [x, number(b, "l", 0.0), number(b, "h", 0.3)], "clip")
            return b.node("Min", [clip, number(b, "six", 6.0)], "op")

        assert respelled(write) == ["Clip"]

    @pytest.mark.parametrize("dtype", [np.int64, np.float64, np.float16])
    def test_clips_of_other_types_stay(self, dtype):
        def write(b, x):
            x = b.node("Cast", [x], "cast", to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
            for i, (low, high) in enumerate(((0, 4), (1, 3))):
                bounds = [b.weight(f"{i}_{value}", dtype(value)) for value in (low, high)]
                x = b.node("Clip", [x, *bounds], f"c{i}")
            return b.node("Cast", [x], "op", to=TensorProto.FLOAT)

        assert respelled(write) == ["Cast", "Clip", "Clip", "Cast"]

    def test_a_saturation_that_is_read_elsewhere_stays(self):
        def write(b, x):
            relu = b.node("Relu", [x], "relu")
            return [b.node("Tanh", [relu], "t"), b.node("Min", [relu, number(b, "c", 0.5)], "op")]

        assert respelled(write) == ["Relu", "Tanh", "Clip"]

    @pytest.mark.parametrize(("shape", "kind"), [((1,), "LeakyRelu"), ((8, 1, 1), "PRelu")])
    def test_a_prelu_of_one_slope_is_a_leaky_relu(self, shape, kind):
        def write(b, x):
            return b.node("PRelu", [x, b.random("slope", *shape)], "op")

        assert respelled(write) == [kind]


class TestProducts:
    def gemm(self, *, weight=(16, 5), bias=None, **attributes):
        def write(b, x):
            operands = ["rows", b.random("w", *weight)]
            operands += [b.random("c", *bias)] if bias is not None else []
            return b.node("Gemm", operands, "op", **attributes)

        shape = ["batch", 16] if not attributes.get("transA") else [16, "batch"]
        batch = {"rows": noise(4, 16) if not attributes.get("transA") else noise(16, 4)}
        return respelled(write, batch, behind_convolution=False, rows=shape)

    @pytest.mark.parametrize(
        "scales", [{"alpha": 0.5}, {"beta": 2.0}, {"alpha": -2.0, "beta": 0.5}]
    )
    @pytest.mark.parametrize("transposed", [0, 1])
    def test_factors_go_into_weight_and_bias(self, scales, transposed):
        weight = (5, 16) if transposed else (16, 5)

        assert self.gemm(weight=weight, bias=(5,), transB=transposed, **scales) == ["Gemm"]

    @pytest.mark.parametrize("bias", [(), (1,), (1, 5), (1, 1)])
    def test_a_bias_that_is_a_row_stays_in_it(self, bias):
        assert self.gemm(bias=bias) == ["Gemm"]

    @pytest.mark.parametrize("bias", [(4, 5), (4, 1)])
    def test_a_bias_of_several_rows_is_added_behind(self, bias):
        assert self.gemm(bias=bias, beta=0.5, alpha=3.0) == ["Gemm", "Add"]

    def test_a_transposed_input_is_transposed_before(self):
        assert self.gemm(transA=1) == ["Transpose", "Gemm"]

    def test_two_transposes_are_none(self):
        def write(b, x):
            turned = b.node("Transpose", ["rows"], "t")
            return b.node("Gemm", [turned, b.random("w", 16, 5)], "op", transA=1)

        kinds = respelled(write, {"rows": noise(4, 16)}, behind_convolution=False,
                          rows=["batch", 16])  # fmt: skip
        assert kinds == ["Gemm"]

    @pytest.mark.parametrize("flags", [{}, {"transA": 1}, {"transB": 1}])
    @pytest.mark.parametrize("scales", [{}, {"alpha": 0.5, "beta": -1.0}])
    def test_a_gemm_of_two_tensors_is_a_matmul(self, flags, scales):
        def write(b, x):
            bias = b.node("Tanh", ["c"], "bias")
            return b.node("Gemm", ["a", "b", bias], "op", **flags, **scales)

        batch = {"a": noise(6, 6), "b": noise(6, 6, seed=1), "c": noise(6, 6, seed=2)}
        kinds = respelled(write, batch, behind_convolution=False,
                          **{name: [6, 6] for name in "abc"})  # fmt: skip
        assert "MatMul" in kinds
        assert "Gemm" not in kinds

    @pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5), (2, 3, 4, 5)])
    def test_a_constant_in_front_comes_behind(self, shape):
        def write(b, x):
            return b.node("MatMul", [b.random("w", 3, 4), "x"], "op")

        kinds = respelled(write, {"x": noise(*shape)}, behind_convolution=False, x=list(shape))
        assert kinds == ["Transpose", "MatMul", "Transpose"]

    def test_a_constant_in_front_of_a_vector_needs_no_transpose(self):
        def write(b, x):
            return b.node("MatMul", [b.random("w", 3, 4), "x"], "op")

        assert respelled(write, {"x": noise(4)}, behind_convolution=False, x=[4]) == ["MatMul"]

    @pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
    def test_a_vector_is_a_matrix_of_one_column(self, shape):
        def write(b, x):
            return b.node("MatMul", ["x", b.random("w", 4)], "op")

        kinds = respelled(write, {"x": noise(*shape)}, behind_convolution=False, x=list(shape))
        assert kinds == ["MatMul", "Squeeze"]


class TestEinsum:
    def spelled(self, equation, *shapes, constant=None):
        def write(b, x):
            inputs = [
                b.random("w", *shape) if index == constant else f"x{index}"
                for index, shape in enumerate(shapes)
            ]
            return b.node("Einsum", inputs, "op", equation=equation)

        given = {f"x{i}": s for i, s in enumerate(shapes) if i != constant}
        batch = {name: noise(*shape, seed=i) for i, (name, shape) in enumerate(given.items())}
        return respelled(write, batch, behind_convolution=False,
                         **{name: list(shape) for name, shape in given.items()})  # fmt: skip

    @pytest.mark.parametrize(
        ("equation", "shapes", "kinds"),
        [
            ("ij,jk->ik", [(3, 4), (4, 5)], ["MatMul"]),
            ("ij,kj->ik", [(3, 4), (5, 4)], ["Transpose", "MatMul"]),
            ("ij,jk->ki", [(3, 4), (4, 5)], ["MatMul", "Transpose"]),
            ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)], ["Transpose", "MatMul"]),
            ("bqhd, bkhd -> bhqk", [(2, 4, 3, 5), (2, 6, 3, 5)],
             ["Transpose", "Transpose", "MatMul"]),
            ("bhqk,bkhd->bqhd", [(2, 3, 4, 6), (2, 6, 3, 5)],
             ["Transpose", "MatMul", "Transpose"]),
            ("abcd,de->abce", [(2, 3, 4, 5), (5, 6)], ["MatMul"]),
        ],
    )  # fmt: skip
    def test_a_product_of_matrices_is_a_matmul(self, equation, shapes, kinds):
        assert self.spelled(equation, *shapes) == kinds

    @pytest.mark.parametrize(
        ("equation", "shapes", "constant"),
        [
            ("bsd,ed->bse", [(2, 3, 4), (5, 4)], 1),
            ("ed,bsd->bse", [(5, 4), (2, 3, 4)], 0),
            ("de,bsd->bse", [(4, 5), (2, 3, 4)], 0),
        ],
    )
    def test_a_constant_is_the_weight_wherever_it_stands(self, equation, shapes, constant):
        assert self.spelled(equation, *shapes, constant=constant) == ["MatMul"]

    @pytest.mark.parametrize(
        ("equation", "shapes"),
        [
            ("ij,ij->ij", [(3, 4), (3, 4)]),
            ("ij,ij->i", [(3, 4), (3, 4)]),
            ("i,j->ij", [(3,), (4,)]),
            ("ijk,jkl->il", [(2, 3, 4), (3, 4, 5)]),
            ("ij,jkl->ikl", [(2, 3), (3, 4, 5)]),
            ("ij,jk->i", [(2, 3), (3, 4)]),
            ("bxyd,bdk->bxyk", [(2, 3, 4, 5), (2, 5, 6)]),
            ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
            ("ii,ij->ij", [(3, 3), (3, 4)]),
            ("ij,jk", [(3, 4), (4, 5)]),
        ],
    )
    def test_others_stay(self, equation, shapes):
        assert self.spelled(equation, *shapes) == ["Einsum"]


class TestPools:
    @pytest.mark.parametrize("axes", [(2, 3), (-1, -2), (3, 2), (2, -1)])
    @pytest.mark.parametrize(("keeps", "kinds"), [(1, []), (0, ["Squeeze"])])
    @pytest.mark.parametrize("opset", [13, 17, 18])
    def test_a_mean_over_space_is_a_global_average(self, axes, keeps, kinds, opset):
        def write(b, x):
            if opset >= 18:
                return b.node("ReduceMean", [x, integers(b, "axes", *axes)], "op", keepdims=keeps)
            return b.node("ReduceMean", [x], "op", axes=list(axes), keepdims=keeps)

        assert respelled(write, opset=opset) == ["GlobalAveragePool", *kinds]

    @pytest.mark.parametrize("axes", [(1,), (2,), (1, 2, 3), (0, 2, 3)])
    def test_a_mean_over_other_axes_stays(self, axes):
        def write(b, x):
            return b.node("ReduceMean", [x], "op", axes=list(axes))

        assert respelled(write) == ["ReduceMean"]

    def test_a_mean_over_no_axes_stays(self):
        def write(b, x):
            empty = b.weight("axes", np.zeros(0, np.int64))
            return b.node("ReduceMean", [x, empty], "op", noop_with_empty_axes=1)

        assert respelled(write, opset=18) == ["ReduceMean"]

    def test_a_mean_over_computed_axes_stays(self):
        b = Builder(opset=18)
        x = b.conv("image", "first", 3, 8)
        mean = b.node("ReduceMean", [x, "axes"], "op")
        y = b.reshape(mean, "flat", -1)
        inputs = {"image": ["batch", 3, 8, 8], "axes": (TensorProto.INT64, [2])}
        model = BACKEND.load(b.ending(y, **inputs))

        assert [n.op_type for n in canonical(model)] == ["Conv", "ReduceMean", "Reshape"]

    def test_a_window_over_all_is_a_global_average(self):
        def write(b, x):
            return b.node("AveragePool", [x], "op", kernel_shape=[8, 8])

        assert respelled(write) == ["GlobalAveragePool"]

    @pytest.mark.parametrize(
        "attributes",
        [
            {"kernel_shape": [8, 7]},
            {"kernel_shape": [8, 8], "pads": [1, 1, 1, 1], "count_include_pad": 1},
            {"kernel_shape": [8, 8], "auto_pad": "SAME_UPPER"},
        ],
    )
    def test_other_windows_stay(self, attributes):
        assert respelled(lambda b, x: b.node("AveragePool", [x], "op", **attributes)) == [
            "AveragePool"
        ]


class TestPadding:
    def padded(self, around, value=None, mode="constant", **attributes):
        def write(b, x):
            given = [integers(b, "around", *around)]
            given += [number(b, "value", value)] if value is not None else []
            y = b.node("Pad", [x, *given], "pad", mode=mode)
            return b.node("Conv", [y, b.random("w", 4, 8, 3, 3)], "op", **attributes)

        return respelled(write)

    @pytest.mark.parametrize("value", [None, 0.0])
    @pytest.mark.parametrize(
        "attributes",
        [{}, {"pads": [1, 0, 0, 2]}, {"auto_pad": "VALID"}, {"strides": [2, 2], "pads": [1] * 4}],
    )
    def test_a_convolution_takes_up_zeros(self, value, attributes):
        assert self.padded((0, 0, 1, 2, 0, 0, 0, 1), value, **attributes) == ["Conv"]

    def test_other_paddings_stay(self):
        assert self.padded((0, 0, 1, 1, 0, 0, 1, 1), 0.5) == ["Pad", "Conv"]
        assert self.padded((0, 0, 1, 1, 0, 0, 1, 1), mode="edge") == ["Pad", "Conv"]
        assert self.padded((0, 0, -1, 0, 0, 0, 0, 0)) == ["Pad", "Conv"]
        assert self.padded((0, 0, 1, 1, 0, 0, 1, 1), auto_pad="SAME_UPPER") == ["Pad", "Conv"]

    def test_padded_channels_stay(self):
        def write(b, x):
            y = b.node("Pad", [x, integers(b, "pads", 0, 0, 0, 0, 0, 2, 0, 0)], "pad")
            return b.node("Conv", [y, b.random("w", 4, 10, 3, 3)], "op")

        assert respelled(write) == ["Pad", "Conv"]

    def test_a_padding_with_axes_is_taken_up(self):
        def write(b, x):
            given = [integers(b, "pads", 1, 2, 0, 1), "", integers(b, "axes", -1, 2)]
            y = b.node("Pad", [x, *given], "pad")
            return b.node("Conv", [y, b.random("w", 4, 8, 3, 3)], "op")

        assert respelled(write, opset=18) == ["Conv"]

    def test_a_padding_that_is_read_elsewhere_stays_for_that(self):
        def write(b, x):
            y = b.node("Pad", [x, integers(b, "pads", 0, 0, 1, 1, 0, 0, 1, 1)], "pad")
            return [b.node("Conv", [y, b.random("w", 4, 8, 3, 3)], "op"), b.node("Tanh", [y], "t")]

        assert sorted(respelled(write)) == ["Conv", "Pad", "Tanh"]


class TestNormalization:
    def test_one_behind_no_convolution_is_a_depthwise_convolution(self):
        def write(b, x):
            return b.batch_norm(b.node("MaxPool", [x], "pool", kernel_shape=[2, 2]), "op", 8)

        assert respelled(write) == ["MaxPool", "Conv"]

    def test_one_behind_a_gemm_is_folded(self):
        def write(b, x):
            return b.batch_norm(b.gemm(b.node("Flatten", [x], "flat"), "fc", 512, 6), "op", 6)

        assert respelled(write) == ["Flatten", "Gemm"]

    def test_one_on_rows_stays(self):
        def write(b, x):
            return b.batch_norm(b.node("Flatten", [x], "flat"), "op", 512)

        assert respelled(write) == ["Flatten", "BatchNormalization"]


class TestResizing:
    def resized(self, scales=(1, 1, 2, 2), opset=13, sizes=None, **attributes):
        def write(b, x):
            given = ["", b.weight("scales", np.array(scales, np.float32))]
            given = ["", "", integers(b, "sizes", *sizes)] if sizes else given
            return b.node("Resize", [x, *given], "op", **attributes)

        b = Builder(opset=opset)
        x = b.conv("image", "first", 3, CHANNELS)
        model = BACKEND.load(b.ending(write(b, x), image=[4, 3, SIZE, SIZE]))
        np.testing.assert_array_equal(
            run(model, images())["op_out"], run_canonical(model, images())["op_out"]
        )
        (node,) = (node for node in canonical(model) if node.op_type == "Resize")
        where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
        return (where, rounding) == ("asymmetric", "floor")

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            {"coordinate_transformation_mode": "pytorch_half_pixel"},
            {"nearest_mode": "round_prefer_ceil"},
            {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"},
        ],
    )
    @pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 3, 2), (1, 1, 4, 5), (1, 1, 1, 2)])
    def test_repeated_values_are_asymmetric_and_floored(self, attributes, scales):
        assert self.resized(scales, **attributes)

    @pytest.mark.parametrize(
        ("scales", "attributes"),
        [
            ((1, 1, 1.5, 2), {}),
            ((1, 1, 0.5, 0.5), {}),
            ((1, 1, 2, 2), {"mode": "linear"}),
            ((1, 1, 2, 2), {"coordinate_transformation_mode": "align_corners"}),
            ((1, 1, 2, 2), {"coordinate_transformation_mode": "asymmetric",
                            "nearest_mode": "ceil"}),
            ((1, 1, 3, 3), {"coordinate_transformation_mode": "asymmetric"}),
        ],
    )  # fmt: skip
    def test_others_stay(self, scales, attributes):
        assert not self.resized(scales, **attributes)

    def test_sizes_are_scales_where_the_input_is_known(self):
        assert self.resized(sizes=(4, 8, 16, 24))
        assert not self.resized(sizes=(4, 8, 12, 16))

    def test_axes_are_spread(self):
        assert self.resized((3, 2), opset=18, axes=[3, 2])


class TestShuffling:
    def shuffled(self, *between, group=1):
        def write(b, x):
            x = b.node("Conv", [x, b.random("w", 16, 8 // group, 3, 3), b.random("c", 16)], "wide",
                       group=group)  # fmt: skip
            for i, op in enumerate(between):
                x = b.node(op, [x], f"between{i}")
            return b.node("DepthToSpace", [x], "op", blocksize=2, mode="CRD")

        b = Builder()
        model = BACKEND.load(
            b.ending(write(b, b.conv("image", "first", 3, 8)), image=["batch", 3, 8, 8])
        )
        np.testing.assert_allclose(
            run_canonical(model, images())["op_out"], run(model, images())["op_out"], atol=1e-5
        )
        (node,) = (node for node in canonical(model) if node.op_type == "DepthToSpace")
        return node.attributes.get_string("mode")

    @pytest.mark.parametrize("between", [(), ("Relu",), ("LeakyRelu", "Sigmoid")])
    def test_a_convolution_makes_its_channels_in_the_other_order(self, between):
        assert self.shuffled(*between) == "DCR"

    def test_one_behind_what_mixes_channels_stays(self):
        assert self.shuffled("LpNormalization") == "CRD"
        assert self.shuffled(group=2) == "CRD"
