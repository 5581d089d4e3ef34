"""MatMul and bias become a Gemm that adds an INT32 bias, whatever the axes and their sizes."""

import numpy as np
import pytest
from networks import Builder
from onnx_case import BACKEND, Case, all_static, noise, optimized, planned_case

SHAPES = {
    "rows": (("n", 16), (6, 16)),
    "three axes, one free": (("n", 5, 16), (3, 5, 16)),
    "three axes, two free": (("n", "m", 16), (3, 5, 16)),
    "four axes, three free": (("n", "m", "k", 16), (2, 3, 5, 16)),
    "fixed": ((2, 5, 16), (2, 5, 16)),
}


def layer(shape, *, tail=None, two=False, scale=1.0):
    declared, given = SHAPES[shape]
    b = Builder()
    w = b.random("w", 16, 24, scale=0.2)
    y = b.node(
        "Add", [b.node("MatMul", ["x", w], "product"), b.random("b", 24, scale=scale)], "add"
    )
    y = b.node(tail, [y], "tail") if tail else y
    outputs = [y]
    if two:
        z = b.node("MatMul", ["x", b.random("v", 16, 8, scale=0.2)], "second")
        outputs.append(b.node("Add", [b.random("c", 8), z], "second_add"))
    return b.ending(*outputs, x=list(declared)), {"x": noise(*given)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tail", [None, "Relu", "Tanh"])
def test_the_bias_is_part_of_the_product(shape, tail):
    case = planned_case(*layer(shape, tail=tail))
    kinds = optimized(case.built)

    assert case.failures == {}
    assert kinds.count("QGemm") == 1 or (shape == "rows" and "MatMulIntegerToFloat" in kinds)
    assert not {"Add", "Sum"} & set(kinds) or "QGemm" not in kinds
    (output,) = case.graph.outputs
    assert case.int8_outputs[output].shape == case.float_outputs[output].shape
    assert case.reference_sqnr(output) >= 70
    assert case.sqnr(output) >= 30


@pytest.mark.parametrize("shape", SHAPES)
def test_it_runs_on_other_sizes_of_free_dimensions(shape):
    declared, given = SHAPES[shape]
    case = planned_case(*layer(shape))
    sizes = [n if isinstance(d, int) else n + 2 for d, n in zip(declared, given, strict=True)]
    batch = {"x": noise(*sizes, seed=1)}
    output = BACKEND.open(case.built, case.target).run(batch)
    expected = BACKEND.open(case.model, case.target).run(batch)

    for name, values in expected.items():
        assert output[name].shape == values.shape


def test_products_of_one_tensor_share_its_rows():
    case = planned_case(*layer("three axes, two free", two=True))
    kinds = optimized(case.built)

    assert kinds.count("QuantizeLinear") == 1
    assert kinds.count("Shape") == 1
    assert kinds.count("QGemm") == 2


def test_a_bias_beyond_its_integers_raises_the_scale_of_the_weight():
    case = planned_case(*layer("three axes, one free", scale=3e7))
    (output,) = case.graph.outputs

    assert case.failures == {}
    assert case.sqnr(output) >= 60


def test_an_integer_output_carries_its_name_and_shape():
    proto, batch = layer("three axes, one free", tail="Relu")
    model = BACKEND.load(proto)
    case = Case(model, all_static(BACKEND.graph(model, planned_case(proto, batch).target)), batch)
    seen = {}

    class Eye:
        tensors = ("tail_out",)

        def update(self, tensor, values):
            seen[tensor] = values.copy()

    BACKEND.observe(case.built, [batch], Eye(), case.target)

    assert seen["tail_out"].shape == (3, 5, 24)
    np.testing.assert_allclose(
        seen["tail_out"], case.float_outputs["tail_out"], atol=2 * case.step("tail_out")
    )
