import numpy as np
import onnx
import onnx_ir as ir
import pytest
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import BACKEND, canonical, noise, run, run_canonical

from octavo.backends.onnxruntime.structure import HEAVY, change_structure


def function(name, opset, *nodes, **imports):
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["a"], ["b"], list(nodes), opsets)


def call(name, source, result):
    return helper.make_node(name, [source], [result], f"call_{result}", domain="local")


def model_with(functions, nodes, opset=17):
    b = Builder()
    x = b.gemm("rows", "dense", 16, 64)
    graph = helper.make_graph(
        [*b.nodes, call("First", x, "c"), *nodes],
        "network",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        b.weights,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)


def assert_inlined(proto, *kinds):
    model = BACKEND.load(proto)
    batch = {"rows": noise(3, 16)}

    assert [node.op_type for node in canonical(model)] == list(kinds)
    np.testing.assert_allclose(
        run_canonical(model, batch)["y"], run(model, batch)["y"], rtol=1e-5, atol=1e-6
    )


def test_a_function_that_calls_a_function_is_inlined():
    first = function("First", 17, helper.make_node("Relu", ["a"], ["r"]), call("Second", "r", "b"))
    second = function("Second", 17, helper.make_node("Tanh", ["a"], ["b"]))

    assert_inlined(model_with([first, second], [call("Second", "c", "y")]), "Gemm", "Relu", "Tanh",
                   "Tanh")  # fmt: skip


def test_a_call_inside_a_body_is_inlined():
    def body(name, node):
        output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [output])

    first = function("First", 17, helper.make_node("Relu", ["a"], ["b"]))
    positive = [
        helper.make_node("ReduceMax", ["c"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["flag"], to=TensorProto.BOOL),
        helper.make_node(
            "If", ["flag"], ["y"], then_branch=body("then", call("First", "c", "t")),
            else_branch=body("else", helper.make_node("Tanh", ["c"], ["e"])),
        ),
    ]  # fmt: skip

    assert_inlined(model_with([first], positive), "Gemm", "Relu", "ReduceMax", "Cast", "If")


@pytest.mark.parametrize(("opset", "own"), [(17, 11), (13, 11), (11, 11)])
def test_a_function_of_another_opset_is_brought_to_that_of_the_model(opset, own):
    first = function(
        "First",
        own,
        helper.make_node("ReduceMax", ["a"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["a", "m"], ["b"]),
    )
    assert_inlined(model_with([first], [helper.make_node("Relu", ["c"], ["y"])], opset),
                   "Gemm", "ReduceMax", "Sub", "Relu")  # fmt: skip


def test_large_constants_are_kept_from_the_function_and_come_back():
    b = Builder()
    proto = b.ending(b.gemm("rows", "dense", 16, 64), rows=["batch", 16])
    seen = []

    def change(bare: onnx.ModelProto) -> onnx.ModelProto:
        seen.extend((bare.ByteSize(), [tensor.name for tensor in bare.graph.initializer]))
        return bare

    changed = change_structure(ir.from_proto(proto), change)

    assert proto.ByteSize() > 64 * 16 * 4 > HEAVY > seen[0]
    assert seen[1] == ["dense_b"]
    assert [value.name for value in changed.graph.inputs] == ["rows"]
    weight = changed.graph.initializers["dense_w"]
    np.testing.assert_array_equal(
        weight.const_value.numpy(), onnx.numpy_helper.to_array(proto.graph.initializer[0])
    )
    assert weight.uses()[0].node.op_type == "Gemm"
