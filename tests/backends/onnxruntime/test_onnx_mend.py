from itertools import product as product_of

import numpy as np
import pytest
from networks import Builder, transformer
from onnx_case import (
    BACKEND,
    TARGET,
    Case,
    images,
    noise,
    optimized,
    planned_case,
    rows,
    static_case,
    words,
)

from octavo.backends.onnxruntime.load import native, wrap
from octavo.plan import Plan


class TestLayerNormalization:
    @pytest.mark.parametrize("approach", ["static", "dynamic"])
    def test_a_built_model_has_no_skip_layer_normalization(self, approach):
        kinds = optimized(planned_case(transformer(), words(), approach=approach).built)

        assert "SkipLayerNormalization" not in kinds
        assert kinds.count("LayerNormalization") == 2

    def test_onnx_runtime_would_make_one(self):
        assert "SkipLayerNormalization" in optimized(BACKEND.load(transformer()))

    def test_a_model_in_which_nothing_is_quantized_is_left_alone(self):
        model = BACKEND.load(transformer())
        built = BACKEND.build(model, Plan(), {}, TARGET)

        assert optimized(built) == optimized(wrap(native(model).canonical, model))

    def test_a_decomposed_normalization_is_kept_apart_as_well(self):
        b = Builder()
        x = b.node("Add", ["rows", b.linear("rows", "dense", 16, 16)], "skip")
        mean = b.node("ReduceMean", [x], "mean", axes=[-1])
        centred = b.node("Sub", [x, mean], "centred")
        square = b.node("Pow", [centred, b.weight("two", np.float32(2))], "square")
        variance = b.node("ReduceMean", [square], "variance", axes=[-1])
        shifted = b.node("Add", [variance, b.weight("epsilon", np.float32(1e-5))], "shifted")
        y = b.node("Div", [centred, b.node("Sqrt", [shifted], "root")], "normal")
        y = b.node(
            "Add", [b.node("Mul", [y, b.random("g", 16)], "scaled"), b.random("c", 16)], "out"
        )
        proto = b.ending(y, rows=["batch", 8, 16])

        built = planned_case(proto, {"rows": noise(2, 8, 16)}).built

        assert "SkipLayerNormalization" in optimized(BACKEND.load(proto))
        assert "SkipLayerNormalization" not in optimized(built)


SHAPES = [("batch", 16), (1, 16, 16), ("batch", 1, 16, 16)]
FOLLOWERS = {
    "nothing": lambda b, y: y,
    "relu": lambda b, y: b.node("Relu", [y], "after"),
    "sigmoid": lambda b, y: b.node("Sigmoid", [y], "after"),
    "tanh": lambda b, y: b.node("Tanh", [y], "after"),
    "softmax": lambda b, y: b.node("Softmax", [y], "after"),
    "swish": lambda b, y: b.node("Mul", [y, b.node("Sigmoid", [y], "gate")], "after"),
    "own activation": lambda b, y: b.node("Mul", [y, b.node("Tanh", [y], "gate")], "after"),
    "add a row": lambda b, y: b.node("Add", [y, b.random("row", 1, 16)], "after"),
    "add the input": lambda b, y: b.node("Add", [y, "x"], "after"),
    "scale": lambda b, y: b.node("Mul", [y, b.weight("factor", np.float32(0.3))], "after"),
    "normalize": lambda b, y: b.layer_norm(y, "after", 16),
    "transpose": lambda b, y: b.node("Transpose", [y], "after"),
}
PRODUCTS = {
    "matmul": lambda b: b.node("MatMul", ["x", b.random("w", 16, 16, scale=0.3)], "product"),
    "matmul with bias": lambda b: b.linear("x", "product", 16, 16),
    "gemm": lambda b: b.gemm("x", "product", 16, 16),
    "activations": lambda b: b.node("MatMul", ["x", b.reshape("x", "other", 16, -1)], "product"),
}


@pytest.mark.parametrize("follower", FOLLOWERS)
@pytest.mark.parametrize(
    ("product", "shape"),
    [
        ("gemm", ("batch", 16)),
        *product_of(("matmul", "matmul with bias", "activations"), SHAPES),
    ],
    ids=str,
)
class TestProducts:
    """ONNX Runtime has many fusions of matrix products that end in float kernels."""

    @pytest.fixture
    def network(self, product, shape, follower):
        b = Builder(opset=20)
        proto = b.ending(FOLLOWERS[follower](b, PRODUCTS[product](b)), x=list(shape))
        fixed = [16 if size == "batch" and len(shape) == 2 else size for size in shape]
        return proto, {"x": noise(*[1 if size == "batch" else size for size in fixed])}

    def test_a_product_is_integer_in_every_form_that_is_offered(self, network):
        proto, batch = network
        model = BACKEND.load(proto)
        for offered in BACKEND.graph(model, TARGET).group_by_id["product"].formats:
            if offered.weight is None or offered.weight.axis is not None:
                assert Case(model, Plan({"product": offered}), batch).failures == {}

    def test_a_product_is_integer_among_integers(self, network):
        assert static_case(*network).failures == {}


@pytest.mark.parametrize("product", ["matmul", "gemm"])
class TestProductsWithSeveralReaders:
    def check(self, b, *outputs):
        case = static_case(b.ending(*outputs, x=["batch", 16]), {"x": noise(4, 16)}, "relu")
        floating = next(
            f for f in case.graph.group_by_id["product"].formats if f.outputs == (None,)
        )
        case = Case(case.model, Plan({**case.plan.formats, "product": floating}), case.batch)
        assert case.failures == {}
        assert min(map(case.reference_sqnr, outputs)) >= 100

    def test_the_model_output_and_an_integer_reader(self, product):
        b = Builder()
        x = PRODUCTS[product](b)
        self.check(b, x, b.gemm(x, "after", 16, 4))

    def test_a_float_and_an_integer_reader(self, product):
        b = Builder()
        x = PRODUCTS[product](b)
        self.check(b, b.node("Tanh", [x], "tanh"), b.gemm(x, "after", 16, 4))

    def test_an_integer_reader_and_one_behind_a_relu(self, product):
        b = Builder()
        x = PRODUCTS[product](b)
        y = b.gemm(b.node("Relu", [x], "relu"), "one", 16, 4)
        self.check(b, y, b.gemm(x, "two", 16, 4))


FLOATS = {
    "conv": lambda b, x: b.conv(x, "middle", 8, 8),
    "conv with relu": lambda b, x: b.node("Relu", [b.conv(x, "middle", 8, 8)], "relu"),
    "transposed": lambda b, x: b.node(
        "ConvTranspose", [x, b.random("m", 8, 8, 1, 1, scale=0.2)], "middle"
    ),
}
FLOAT_PRODUCTS = {
    "gemm": lambda b, x: b.gemm(x, "middle", 8, 8),
    "gemm with relu": lambda b, x: b.node("Relu", [b.gemm(x, "middle", 8, 8)], "relu"),
    "matmul": lambda b, x: b.node("MatMul", [x, b.random("m", 8, 8, scale=0.3)], "middle"),
    "matmul with bias": lambda b, x: b.linear(x, "middle", 8, 8),
    "matmul with bias and clip": lambda b, x: b.relu6(b.linear(x, "middle", 8, 8), "clip"),
    "matmul with a row": lambda b, x: b.node(
        "Add", [b.node("MatMul", [x, b.random("m", 8, 8)], "middle"), b.random("r", 1, 8)], "row"
    ),
}


class TestFloatBetweenIntegers:
    """ONNX Runtime quantizes a weight by itself when both sides of its operator are integers."""

    def check(self, case, output):
        executed = {name: entry.executed for name, entry in case.audit.items()}
        assert executed["first"] == executed["last"] == "int8"
        assert executed["middle"] == "fp32"
        assert case.reference_sqnr(output) >= 100

    @pytest.mark.parametrize("middle", FLOATS)
    def test_a_convolution_keeps_its_float_weight(self, middle):
        b = Builder()
        x = b.conv(FLOATS[middle](b, b.conv("image", "first", 3, 8)), "last", 8, 4)
        proto = b.ending(x, image=["batch", 3, 8, 8])

        self.check(static_case(proto, images(), "middle"), x)

    @pytest.mark.parametrize("batch", ["batch", 4])
    @pytest.mark.parametrize("middle", FLOAT_PRODUCTS)
    def test_a_product_keeps_its_float_weight(self, middle, batch):
        b = Builder()
        x = b.gemm(FLOAT_PRODUCTS[middle](b, b.gemm("rows", "first", 16, 8)), "last", 8, 4)
        proto = b.ending(x, rows=[batch, 16])

        self.check(static_case(proto, rows(), "middle", "row"), x)

    def test_the_last_operator_of_a_network_gets_no_copy(self):
        b = Builder()
        x = b.conv(b.conv("image", "first", 3, 8), "last", 8, 4)
        case = static_case(b.ending(x, image=["batch", 3, 8, 8]), images(), "last")

        assert "Sum" not in [node.op_type for node in case.nodes]


def alternating(b, x):
    mask = b.weight("mask", np.arange(8) % 2 == 0)
    return b.node("Where", [mask, x, b.weight("zero", np.float32(0))], "op")


SLOWER = {
    "QLinearSoftmax": lambda b, x: b.node("Softmax", [x], "op", axis=1),
    "QLinearWhere": alternating,
    "QLinearAveragePool": lambda b, x: b.node(
        "AveragePool", [x], "op", kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    ),
}


class TestFloatKernels:
    """ONNX Runtime has integer kernels that are slower than to dequantize and quantize."""

    @staticmethod
    def between_convolutions(write):
        b = Builder()
        x = write(b, b.conv("image", "first", 3, 8))
        return static_case(b.ending(b.conv(x, "last", 8, 4), image=["batch", 3, 8, 8]), images())

    @pytest.mark.parametrize("kernel", SLOWER)
    def test_they_are_not_taken(self, kernel):
        case = self.between_convolutions(SLOWER[kernel])

        assert case.audit["op"].executed == "fp32"
        assert kernel not in optimized(case.built)
        assert {case.audit[name].executed for name in ("first", "last")} == {"int8"}
        assert case.reference_sqnr("last_out") >= 40

    @pytest.mark.parametrize("kernel", SLOWER)
    def test_onnx_runtime_would_take_them(self, kernel, monkeypatch):
        monkeypatch.setattr("octavo.backends.onnxruntime.mend.keep_float_kernels", lambda w: None)

        assert kernel in optimized(self.between_convolutions(SLOWER[kernel]).built)

    def classes(self):
        b = Builder()
        x = b.node("ArgMax", [b.conv("image", "first", 3, 8)], "op", axis=1)
        return static_case(b.ending(x, image=["batch", 3, 8, 8]), images())

    def test_the_largest_is_found_among_floats(self):
        case = self.classes()
        found = BACKEND.audit(case.model, case.plan, case.built, case.batch, TARGET)

        assert {entry.group: entry.executed for entry in found} == {"first": "int8", "op": "fp32"}
        assert optimized(case.built)[-2:] == ["Sum", "ArgMax"]
        np.testing.assert_array_equal(case.int8_outputs["op_out"], case.reference_outputs["op_out"])

    def test_onnx_runtime_would_find_it_among_integers(self, monkeypatch):
        monkeypatch.setattr("octavo.backends.onnxruntime.mend.keep_float_kernels", lambda w: None)

        kinds = optimized(self.classes().built)

        assert "ArgMax" in kinds
        assert "DequantizeLinear" not in kinds


class TestSlopes:
    @staticmethod
    def case(shape):
        b = Builder()
        x = b.node("PRelu", [b.conv("image", "first", 3, 8), b.random("slope", *shape)], "op")
        return static_case(b.ending(b.conv(x, "last", 8, 4), image=["batch", 3, 8, 8]), images())

    @pytest.mark.parametrize("shape", [(8, 1, 1), (8,), (8, 8, 8)])
    def test_a_slope_per_channel_is_written_from_fast_operators(self, shape):
        case = self.case(shape)

        assert "PRelu" not in optimized(case.built)
        assert case.audit["op"].executed == "fp32"
        assert case.reference_sqnr("last_out") >= 60

    def test_a_float_model_keeps_it(self):
        case = self.case((8, 1, 1))

        assert "PRelu" in optimized(BACKEND.build(case.model, Plan(), {}, TARGET))
