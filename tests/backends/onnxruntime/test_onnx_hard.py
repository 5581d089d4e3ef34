"""HardSigmoid and HardSwish: found in every spelling, and as integer kernels of Add and Mul."""

import numpy as np
import pytest
from networks import Builder
from onnx_case import BACKEND, Case, canonical, constants, image_case, images, run, run_canonical

from octavo.backends.base import Edit
from octavo.measure import quantization_of
from octavo.plan import U8, Plan, Range

SIXTH = float(np.float32(1 / 6))


def number(b, name, value):
    return b.weight(name, np.float32(value))


def shifted(b, x, name="gate"):
    return b.node("Add", [x, number(b, f"{name}_3", 3.0)], f"{name}_add")


def clipped(b, x, high=6.0, name="gate"):
    bounds = [number(b, f"{name}_0", 0.0), number(b, f"{name}_high", high)]
    return b.node("Clip", [x, *bounds], f"{name}_clip")


def relu6_of(b, x):
    relu = b.node("Relu", [x], "gate_relu")
    return b.node("Min", [relu, number(b, "gate_high", 6.0)], "gate_min")


GATES = {
    "the operator": lambda b, x: b.node("HardSigmoid", [x], "gate", alpha=SIXTH, beta=0.5),
    "divided": lambda b, x: b.node("Div", [clipped(b, shifted(b, x)), number(b, "six", 6)], "gate"),
    "multiplied": lambda b, x: b.node(
        "Mul", [number(b, "sixth", SIXTH), clipped(b, shifted(b, x))], "gate"
    ),
    "relu and min": lambda b, x: b.node(
        "Div", [relu6_of(b, shifted(b, x)), number(b, "six", 6)], "gate"
    ),
    "scaled before": lambda b, x: clipped(
        b,
        b.node(
            "Add",
            [b.node("Mul", [x, number(b, "sixth", SIXTH)], "scaled"), number(b, "half", 0.5)],
            "shift",
        ),
        high=1.0,
    ),
    "divided before": lambda b, x: clipped(
        b,
        b.node(
            "Add",
            [number(b, "half", 0.5), b.node("Div", [x, number(b, "six", 6)], "scaled")],
            "shift",
        ),
        high=1.0,
    ),
}


def late(b, x, op="Div"):
    product = b.node("Mul", [x, clipped(b, shifted(b, x))], "product")
    return b.node(op, [product, number(b, "six", 6 if op == "Div" else SIXTH)], "swish")


SWISHES = {
    "the operator": lambda b, x: b.node("HardSwish", [x], "swish"),
    "divided late": late,
    "multiplied late": lambda b, x: late(b, x, "Mul"),
    **{
        f"gate {name}": lambda b, x, gate=gate: b.node("Mul", [gate(b, x), x], "swish")
        for name, gate in GATES.items()
    },
}


def loaded(b, *outputs):
    model = BACKEND.load(b.ending(*outputs, image=["batch", 3, 8, 8]))
    expected, found = run(model, images()), run_canonical(model, images())
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)
    return model


def kinds(model):
    return [node.op_type for node in canonical(model)]


class TestRecognition:
    @pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
    def test_every_spelling_of_a_gate(self, gate):
        b = Builder()
        model = loaded(b, gate(b, b.node("Tanh", ["image"], "tanh")))

        assert kinds(model) == ["Tanh", "HardSigmoid"]

    @pytest.mark.parametrize("swish", SWISHES.values(), ids=SWISHES)
    def test_every_spelling_of_a_swish(self, swish):
        b = Builder()
        model = loaded(b, swish(b, b.conv("image", "conv", 3, 8)))

        assert kinds(model) == ["Conv", "HardSwish"]

    @pytest.mark.parametrize("swish", SWISHES.values(), ids=SWISHES)
    def test_a_swish_that_is_read_elsewhere(self, swish):
        b = Builder()
        y = swish(b, b.conv("image", "conv", 3, 8))
        model = loaded(b, y, b.node("Tanh", [y], "tanh"))

        assert kinds(model) == ["Conv", "HardSwish", "Tanh"]

    def test_a_model_of_an_older_opset_gets_the_operator(self):
        b = Builder(opset=13)
        model = loaded(b, late(b, b.conv("image", "conv", 3, 8)))

        assert kinds(model) == ["Conv", "HardSwish"]
        assert canonical(model).opset_imports[""] >= 14

    def test_a_product_with_the_gate_of_another_tensor_is_none(self):
        b = Builder()
        x, y = b.node("Tanh", ["image"], "x"), b.node("Erf", ["image"], "y")
        model = loaded(b, b.node("Mul", [x, GATES["divided"](b, y)], "product"))

        assert kinds(model) == ["Tanh", "Erf", "HardSigmoid", "Mul"]

    @pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.5), (SIXTH, 0.4)])
    def test_a_gate_of_another_slope_is_no_swish(self, alpha, beta):
        b = Builder()
        x = b.node("Tanh", ["image"], "x")
        gate = b.node("HardSigmoid", [x], "gate", alpha=alpha, beta=beta)

        assert kinds(loaded(b, b.node("Mul", [x, gate], "product"))) == [
            "Tanh", "HardSigmoid", "Mul",
        ]  # fmt: skip

    @pytest.mark.parametrize("factor", [0.5, 6.0])
    def test_a_gate_of_another_height_is_none(self, factor):
        b = Builder()
        x = b.node("Tanh", ["image"], "x")
        gate = b.node("Mul", [clipped(b, shifted(b, x)), number(b, "factor", factor)], "gate")

        assert kinds(loaded(b, gate)) == ["Tanh", "Add", "Clip", "Mul"]

    def test_a_factor_per_channel_is_none(self):
        b = Builder()
        x = b.node("Tanh", ["image"], "x")
        gate = b.node("Mul", [clipped(b, shifted(b, x)), b.random("c", 3, 1, 1)], "gate")

        assert "HardSigmoid" not in kinds(loaded(b, gate))


class TestFolding:
    @pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
    def test_behind_a_convolution_the_saturation_is_left(self, gate):
        b = Builder()
        model = loaded(b, gate(b, b.conv("image", "conv", 3, 8)))

        assert kinds(model) == ["Conv", "Clip"]

    def test_behind_a_gemm_too(self):
        b = Builder()
        x = b.gemm(b.node("Flatten", ["image"], "flat"), "fc", 192, 5)

        assert kinds(loaded(b, GATES["divided"](b, x))) == ["Flatten", "Gemm", "Clip"]

    def test_not_behind_a_convolution_that_is_read_elsewhere(self):
        b = Builder()
        x = b.conv("image", "conv", 3, 8)
        model = loaded(b, GATES["the operator"](b, x), b.node("Tanh", [x], "tanh"))

        assert sorted(kinds(model)) == ["Conv", "HardSigmoid", "Tanh"]


class TestIntegers:
    def case(self, write):
        b = Builder()
        return image_case(b, write(b, b.conv("image", "conv", 3, 8)))

    def swish(self, b, x):
        return b.node("HardSwish", [x], "swish")

    def test_a_swish_is_an_addition_and_a_product(self):
        case = self.case(self.swish)

        assert case.failures == {}
        assert case.audit["swish"].kernels == ("QLinearAdd", "QLinearMul")

    def test_what_lies_below_the_bend_takes_no_integers(self):
        case = self.case(self.swish)
        low, high = case.ranges["conv_out"].low, case.ranges["conv_out"].high
        scale = constants(case.built)["conv_out.scale"]

        assert low < -3
        assert scale == quantization_of(Range(-3.0, high), U8).scale

    def test_it_takes_them_where_another_operator_reads_them(self):
        b = Builder()
        x = b.conv("image", "conv", 3, 8)
        case = image_case(b, self.swish(b, x), b.node("Sigmoid", [x], "other"))

        expected = quantization_of(case.ranges["conv_out"], U8).scale
        assert constants(case.built)["conv_out.scale"] == expected

    @pytest.mark.parametrize("gain", [0.1, 1.0, 10.0])
    def test_a_swish_is_close_to_float_whatever_it_reads(self, gain):
        b = Builder()
        case = image_case(b, self.swish(b, b.conv("image", "conv", 3, 8)))
        weight = BACKEND.weights(case.model, ["conv_w"])["conv_w"]
        model = BACKEND.edit(case.model, [Edit("conv_w", weight * np.float32(gain))])

        assert Case(model, case.plan, case.batch).sqnr("swish_out") >= 30

    def test_a_gate_in_a_wider_range_stays_float_and_the_audit_says_so(self):
        b = Builder()
        x = b.node("Add", [b.conv("image", "conv", 3, 8)] * 2, "twice")
        gate = b.node("HardSigmoid", [x], "gate")
        pads = b.weight("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
        case = image_case(b, b.node("Pad", [gate, pads, number(b, "value", 3.0)], "pad"))

        assert case.audit["gate"].executed == "fp32"
        assert "HardSigmoid" in case.audit["gate"].reason
        assert case.steps_from_reference("pad_out") <= 1.001

    def test_a_gate_alone_can_be_quantized(self):
        b = Builder()
        x = b.node("Tanh", [b.conv("image", "conv", 3, 8)], "tanh")
        case = image_case(b, b.node("HardSigmoid", [x], "gate"))
        alone = Case(case.model, Plan({"gate": case.plan.format("gate")}), case.batch)

        assert alone.audit["gate"].executed == "int8"
        assert alone.sqnr("gate_out") >= 40
