import numpy as np
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import BACKEND, canonical, noise, rows, run, run_canonical, static_case


def kinds(model):
    return [node.op_type for node in canonical(model)]


def test_a_weight_that_is_transposed_in_the_graph_is_quantized():
    b = Builder()
    weight = b.node("Transpose", [b.random("w", 8, 16)], "turned", perm=[1, 0])
    case = static_case(b.ending(b.node("MatMul", ["rows", weight], "y"), rows=["batch", 16]),
                       rows())  # fmt: skip

    assert kinds(case.model) == ["MatMul"]
    assert case.failures == {}
    assert case.audit["y"].executed == "int8"
    assert case.sqnr("y_out") > 30


def test_a_chain_is_folded_whole_and_computes_the_same():
    b = Builder()
    half = b.weight("half", noise(8, 16).astype(np.float16))
    cast = b.node("Cast", [half], "cast", to=TensorProto.FLOAT)
    scaled = b.node("Mul", [cast, b.weight("two", np.float32(2))], "scaled")
    weight = b.node("Transpose", [scaled], "turned", perm=[1, 0])
    model = BACKEND.load(b.ending(b.node("MatMul", ["rows", weight], "y"), rows=["batch", 16]))

    assert kinds(model) == ["MatMul"]
    np.testing.assert_allclose(
        run_canonical(model, rows())["y_out"], run(model, rows())["y_out"], rtol=1e-5
    )


def test_a_result_much_larger_than_its_constants_is_left_to_be_computed():
    b = Builder()
    shape = b.weight("shape", np.array([1 << 19, 16]))
    grown = b.node("Expand", [b.random("one", 1, 16), shape], "grown")
    y = b.node("Sub", [b.node("ReduceSum", [grown], "sum", keepdims=0), "rows"], "y")
    model = BACKEND.load(b.ending(y, rows=["batch", 16]))

    assert "Expand" in kinds(model)


def test_a_constant_that_the_model_returns_stays_an_output():
    b = Builder()
    turned = b.node("Transpose", [b.random("w", 8, 16)], "turned", perm=[1, 0])
    model = BACKEND.load(
        b.ending(turned, b.node("MatMul", ["rows", turned], "y"), rows=["batch", 16])
    )

    found = run_canonical(model, rows())

    assert found["turned_out"].shape == (16, 8)
    assert found.keys() == run(model, rows()).keys()


def test_what_draws_random_numbers_is_left_alone():
    b = Builder()
    like = b.node("RandomNormalLike", [b.random("w", 16)], "drawn")
    model = BACKEND.load(b.ending(b.node("Add", ["rows", like], "y"), rows=["batch", 16]))

    assert kinds(model) == ["RandomNormalLike", "Add"]


def test_names_of_the_other_nodes_do_not_change():
    nodes = [
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows", "turned"], ["y"]),
    ]
    b = Builder(nodes=nodes)
    b.random("w", 8, 16)
    model = BACKEND.load(b.ending("y", rows=["batch", 16]))

    assert [node.name for node in canonical(model)] == ["MatMul_1"]
