"""What scales and shifts a matrix product disappears into it; the function stays."""

import numpy as np
import pytest
from networks import Builder
from onnx_case import BACKEND, canonical, noise, run, run_canonical

LAYERS = {
    "matmul": lambda b, x: b.node("MatMul", [x, b.random("w", 16, 24, scale=0.2)], "layer"),
    "matmul with bias": lambda b, x: b.linear(x, "layer", 16, 24),
    "gemm": lambda b, x: b.gemm(x, "layer", 16, 24),
    "gemm without bias": lambda b, x: b.node("Gemm", [x, b.random("w", 16, 24)], "layer"),
}
SCALES = {
    "row": lambda b, x: b.node("Mul", [x, b.random("c", 24)], "scale"),
    "row in front": lambda b, x: b.node("Mul", [b.random("c", 1, 24), x], "scale"),
    "number": lambda b, x: b.node("Mul", [x, b.weight("c", np.float32(0.3))], "scale"),
    "divided": lambda b, x: b.node("Div", [x, b.weight("c", np.float32(7))], "scale"),
}
SHIFTS = {
    "add": lambda b, x: b.node("Add", [x, b.random("s", 24)], "shift"),
    "sub": lambda b, x: b.node("Sub", [x, b.random("s", 24)], "shift"),
    "add a number": lambda b, x: b.node("Add", [b.weight("s", np.float32(2)), x], "shift"),
}


def loaded(b, *outputs, shape=("n", 16)):
    return BACKEND.load(b.ending(*outputs, x=list(shape)))


def kinds(model):
    return [node.op_type for node in canonical(model)]


def assert_same(model, batch):
    expected, found = run(model, batch), run_canonical(model, batch)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_scale_and_a_shift_are_folded(layer, scale, shift):
    b = Builder()
    y = SHIFTS[shift](b, SCALES[scale](b, LAYERS[layer](b, "x")))
    model = loaded(b, y)

    assert set(kinds(model)) <= {"MatMul", "Gemm", "Add", "Sub"}
    assert len(kinds(model)) <= (2 if layer.startswith("matmul") else 1)
    assert_same(model, {"x": noise(5, 16)})


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("layer", ["matmul", "matmul with bias"])
def test_a_scaled_residual_sum_loses_its_shift(layer, side):
    b = Builder()
    y = LAYERS[layer](b, "x")
    other = b.node("MatMul", ["x", b.random("v", 16, 24)], "other")
    kept = b.node("Relu", [other], "kept")
    pair = [y, kept] if side == 0 else [kept, y]
    y = SHIFTS["add"](b, SCALES["row"](b, b.node("Add", pair, "sum")))
    model = loaded(b, y, kept, shape=("n", 3, 16))

    assert kinds(model).count("Add") == 2  # the bias and the residual
    assert kinds(model).count("Mul") == 1
    assert_same(model, {"x": noise(2, 3, 16)})


@pytest.mark.parametrize("op", ["Mul", "Div"])
def test_the_factor_on_attention_scores_moves_into_the_queries(op):
    b = Builder()
    parts = {}
    for part in "qk":
        y = b.reshape(b.linear("x", part, 16, 16), f"{part}_split", 0, 0, 2, 8)
        perm = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
        parts[part] = b.node("Transpose", [y], f"{part}_t", perm=perm)
    scores = b.node("MatMul", [parts["q"], parts["k"]], "scores")
    model = loaded(
        b, b.node(op, [scores, b.weight("root", np.float32(8**0.5))], "scaled"), shape=("n", 4, 16)
    )

    assert op not in kinds(model)
    assert_same(model, {"x": noise(2, 4, 16)})


def test_a_shared_weight_keeps_its_value_for_the_other_product():
    b = Builder()
    w = b.random("w", 16, 16)
    first, second = (b.node("MatMul", ["x", w], name) for name in ("first", "second"))
    y = b.node("Mul", [first, b.weight("c", np.float32(0.5))], "scale")
    model = loaded(b, y, second)

    assert "Mul" not in kinds(model)
    assert_same(model, {"x": noise(5, 16)})


STAYING = {
    "a layer with two readers": lambda b, y: b.node("Mul", [y, b.node("Relu", [y], "r")], "m"),
    "a factor by row": lambda b, y: b.node("Mul", [y, b.random("c", 5, 1)], "m"),
    "a factor that adds an axis": lambda b, y: b.node("Mul", [y, b.random("c", 1, 1, 24)], "m"),
    "a constant divided by the layer": lambda b, y: b.node("Div", [b.random("c", 24), y], "m"),
    "a division by zero": lambda b, y: b.node("Div", [y, b.weight("c", np.zeros(24, "f"))], "m"),
}


@pytest.mark.parametrize("name", STAYING)
def test_what_cannot_be_folded_stays(name):
    b = Builder()
    model = loaded(b, STAYING[name](b, b.linear("x", "layer", 16, 24)), shape=(5, 16))

    assert {"Mul", "Div"} & set(kinds(model))
    if "zero" not in name:
        assert_same(model, {"x": noise(5, 16)})


def test_a_layer_that_is_an_output_stays():
    b = Builder()
    y = b.linear("x", "layer", 16, 24)
    model = loaded(b, y, SCALES["row"](b, y))

    assert "Mul" in kinds(model)
    assert_same(model, {"x": noise(5, 16)})
