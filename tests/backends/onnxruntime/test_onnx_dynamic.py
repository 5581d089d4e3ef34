from dataclasses import replace

import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx_case import (
    BACKEND,
    NO_VNNI,
    TARGET,
    VNNI,
    Case,
    images,
    noise,
    optimized,
    planned_case,
    rows,
    run,
    sqnr,
    words,
    written,
)

from octavo.plan import Plan


def gemm(b, transposed):
    weight = b.random("w", 8, 16) if transposed else b.random("w", 16, 8)
    return b.node("Gemm", ["x", weight, b.random("c", 8)], "product", transB=transposed)


PRODUCTS = {
    "matmul": lambda b: b.node("MatMul", ["x", b.random("w", 16, 8)], "product"),
    "matmul with bias": lambda b: b.linear("x", "product", 16, 8),
    "matmul with bias and relu": lambda b: b.node("Relu", [b.linear("x", "product", 16, 8)], "r"),
    "gemm": lambda b: gemm(b, 0),
    "gemm transB": lambda b: gemm(b, 1),
    "gemm without bias": lambda b: b.node("Gemm", ["x", b.random("w", 16, 8)], "product"),
    "gemm with a scalar bias": lambda b: b.node(
        "Gemm", ["x", b.random("w", 16, 8), b.random("c")], "product"
    ),
}


def dynamic(proto, batch):
    return planned_case(proto, batch, approach="dynamic")


@pytest.fixture(scope="module", params=PRODUCTS)
def product(request):
    b = Builder()
    return dynamic(b.ending(PRODUCTS[request.param](b), x=["batch", 16]), {"x": noise(4, 16)})


def test_it_executes_in_int8_dynamic(product):
    assert {entry.executed for entry in product.audit.values()} == {"int8_dynamic"}


@pytest.mark.parametrize("name", ["matmul", "matmul with bias", "gemm", "gemm transB"])
def test_onnx_runtime_is_left_with_one_kernel_for_product_and_bias(name):
    b = Builder()
    case = dynamic(b.ending(PRODUCTS[name](b), x=["batch", 16]), {"x": noise(4, 16)})

    assert optimized(case.built) == ["DynamicQuantizeMatMul"]


def test_no_float_product_is_left(product):
    assert not {"MatMul", "Gemm", "FusedGemm"} & set(optimized(product.built))


def test_no_range_is_needed(product):
    assert product.ranges == {}


def test_it_is_close_to_float_and_not_float(product):
    (output,) = product.graph.outputs

    assert 30 <= product.sqnr(output) <= 60


def test_it_is_the_reference(product):
    (output,) = product.graph.outputs

    assert product.reference_sqnr(output) >= 100


def test_the_range_follows_the_values(product):
    """A static range would clip a batch that is a hundred times larger."""
    batch = {"x": product.batch["x"] * 100}
    (output,) = product.graph.outputs

    assert sqnr(run(product.model, batch)[output], run(product.built, batch)[output]) >= 30


@pytest.mark.parametrize("transposed", [0, 1])
def test_weights_are_integers_with_a_scale_per_column(transposed):
    b = Builder()
    case = dynamic(b.ending(gemm(b, transposed), x=["batch", 16]), {"x": noise(4, 16)})

    (node,) = (node for node in case.nodes if node.op_type == "MatMulInteger")
    stored = {t.name: t for t in written(case.built).graph.initializer}
    assert tuple(stored[node.input[1]].dims) == (16, 8)
    assert sorted(tuple(t.dims) for t in stored.values()) == [(8,), (8,), (8,), (16, 8)]


@pytest.mark.parametrize(("target", "limit"), [(VNNI, 127), (NO_VNNI, 63)])
def test_weights_use_the_bits_of_the_processor(target, limit):
    b = Builder()
    model = BACKEND.load(b.ending(gemm(b, 0), x=["batch", 16]))
    found = BACKEND.graph(model, target).group_by_id["product"]
    plan = Plan({"product": next(f for f in found.formats if f.compute == "int8_dynamic")})

    built = BACKEND.build(model, plan, {}, target)

    (name,) = (n.input[1] for n in written(built).graph.node if n.op_type == "MatMulInteger")
    assert np.abs(BACKEND.weights(built, [name])[name]).max() == limit


def test_products_of_one_tensor_share_its_quantization():
    case = dynamic(transformer(), words())
    kinds = [node.op_type for node in case.nodes]

    assert kinds.count("MatMulInteger") == 6
    assert kinds.count("DynamicQuantizeLinear") == 4  # q, k and v read one of them


def test_a_transformer_is_dynamic_in_all_products_with_a_weight():
    case = dynamic(transformer(), words())

    asked = {name for name, f in case.plan.formats.items() if f.compute == "int8_dynamic"}
    assert asked == {"q", "k", "v", "attention_output", "intermediate", "output"}
    assert case.failures == {}
    assert case.sqnr("norm2_out") >= 30


def test_a_convolution_stays_float():
    case = dynamic(convnet(), images(4, 3, 16))

    assert set(case.plan.formats) == {"head"}
    assert case.failures == {}


def test_graph_outputs_keep_their_names_and_shapes():
    b = Builder()
    x = b.linear("rows", "first", 16, 16)
    case = dynamic(b.ending(x, b.gemm(x, "second", 16, 4), rows=["batch", 16]), rows())

    assert case.int8_outputs.keys() == {"first_bias_out", "second_out"}
    assert BACKEND.load(written(case.built)).outputs == case.model.outputs


def mixed_case(first, second):
    b = Builder()
    x = b.linear(b.linear("rows", "first", 16, 16), "second", 16, 4)
    base = planned_case(b.ending(x, rows=["batch", 16]), rows())
    plan = {
        name: next(f for f in base.graph.group_by_id[name].formats if f.compute == compute)
        for name, compute in (("first", first), ("second", second))
    }
    return replace(base, plan=Plan(plan))


@pytest.mark.parametrize(("first", "second"), [("int8", "int8_dynamic"), ("int8_dynamic", "int8")])
def test_static_and_dynamic_groups_read_from_each_other(first, second):
    case = mixed_case(first, second)

    executed = {name: entry.executed for name, entry in case.audit.items()}
    assert executed == {"first": first, "second": second}
    assert case.sqnr("second_bias_out") >= 30


def test_one_tensor_may_be_quantized_statically_and_dynamically():
    b = Builder()
    outputs = [b.linear("rows", name, 16, 4) for name in ("static", "dynamic")]
    base = planned_case(b.ending(*outputs, rows=["batch", 16]), rows())
    plan = {
        name: next(f for f in base.graph.group_by_id[name].formats if f.compute == compute)
        for name, compute in (("static", "int8"), ("dynamic", "int8_dynamic"))
    }
    case = Case(base.model, Plan(plan), base.batch, TARGET)

    assert case.failures == {}
    assert min(map(case.sqnr, outputs)) >= 30
