import numpy as np
import onnx
import onnx_ir as ir
import pytest
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import BACKEND, noise, run, run_canonical, static_case

from octavo.backends.onnxruntime.load import native
from octavo.errors import ModelError
from octavo.target import Target

OLD = (7, 8, 9, 10, 11, 12)


def model_of(opset, nodes, weights=(), outputs=("y",)):
    """Return a model that reads `x`, as an exporter of that opset would write it."""
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        list(weights),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def assert_same(proto):
    model = BACKEND.load(proto)
    batch = {"x": noise(2, 3, 8, 8)}
    expected, found = run(model, batch), run_canonical(model, batch)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
    return model


def node(op, inputs=("x",), outputs=("y",), **attributes):
    return helper.make_node(op, list(inputs), list(outputs), op.lower(), **attributes)


def constant(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


UNTIL_9, UNTIL_10, UNTIL_11, UNTIL_12 = (range(7, last + 1) for last in (9, 10, 11, 12))
CASES = {
    "clip": (UNTIL_10, node("Clip", min=-0.5, max=0.5)),
    "clip with one bound": (UNTIL_10, node("Clip", min=0.0)),
    "slice": (UNTIL_9, node("Slice", starts=[1, -3], ends=[3, 9999], axes=[1, 3])),
    "slice without axes": (UNTIL_9, node("Slice", starts=[0, 1, 2], ends=[2, 3, 8])),
    "pad": (UNTIL_10, node("Pad", pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.5)),
    "pad by reflection": (UNTIL_10, node("Pad", mode="reflect", pads=[0, 0, 1, 2, 0, 0, 3, 0])),
    "squeeze all": (
        UNTIL_12, node("ReduceMax", outputs=["m"], axes=[1]), node("Squeeze", ["m"])
    ),
    "squeeze": (
        UNTIL_12, node("ReduceMax", outputs=["m"], axes=[1]), node("Squeeze", ["m"], axes=[1])
    ),
    "unsqueeze": (UNTIL_12, node("Unsqueeze", axes=[0, 3])),
    "sum of axes": (UNTIL_12, node("ReduceSum", axes=[1, 3], keepdims=0)),
    "sum of all": (UNTIL_12, node("ReduceSum")),
    "split": (UNTIL_12, node("Split", outputs=["a", "b"], axis=3, split=[3, 5])),
    "split in equal parts": (UNTIL_12, node("Split", outputs=["a", "b"], axis=2)),
    "top": (UNTIL_9, node("TopK", outputs=["y", "indices"], axis=3, k=2)),
    "batch norm": (
        UNTIL_12, node("BatchNormalization", ["x", "one", "one", "one", "one"], epsilon=0.1)
    ),
    "dropout": (UNTIL_11, node("Dropout", outputs=["d"], ratio=0.9), node("Relu", ["d"])),
    "softmax of the last axis": (UNTIL_12, node("Softmax", axis=3)),
    "softmax of the last axis, counted from it": (range(11, 13), node("Softmax", axis=-1)),
    "softmax of many axes": (UNTIL_12, node("Softmax", axis=1)),
    "softmax by default": (UNTIL_12, node("Softmax")),
    "softmax of a flat one": (UNTIL_12, node("Flatten", outputs=["f"]), node("Softmax", ["f"])),
    "log softmax of many axes": (UNTIL_12, node("LogSoftmax", axis=2)),
    "hardmax of many axes": (UNTIL_12, node("Hardmax", axis=2)),
    "enlarging": (range(7, 9), node("Upsample", mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])),
    "enlarging smoothly": (range(7, 9), node("Upsample", mode="linear", scales=[1.0, 1, 2, 2])),
    "enlarging by an input": ([9], node("Upsample", ["x", "large"], mode="nearest")),
    "resizing": ([10], node("Resize", ["x", "large"], mode="nearest")),
    "resizing smoothly": ([10], node("Resize", ["x", "large"], mode="linear")),
    "reducing": ([10], node("Resize", ["x", "small"], mode="nearest")),
    "reducing smoothly": ([10], node("Resize", ["x", "small"], mode="linear")),
    "resizing since": (range(11, 13), node("Resize", ["x", "roi", "large"], mode="linear")),
    "scatter": ([9, 10], node("Scatter", ["x", "where", "what"], axis=1)),
}  # fmt: skip
WEIGHTS = [
    constant("one", np.float32([1.0, 2.0, 3.0])),
    constant("large", np.float32([1, 1, 2, 2.5])),
    constant("small", np.float32([1, 1, 0.5, 0.375])),
    constant("roi", np.float32([])),
    constant("where", np.array([[[[2]]], [[[1]]]])),
    constant("what", np.float32([[[[5.0]]], [[[7.0]]]])),
]


@pytest.mark.parametrize(
    ("case", "opset"), [(name, opset) for name, (opsets, *_) in CASES.items() for opset in opsets]
)
def test_an_operator_that_changed_computes_the_same(case, opset):
    _, *nodes = CASES[case]
    read = {name for one in nodes for name in one.input}
    weights = [tensor for tensor in WEIGHTS if tensor.name in read]

    outputs = [name for name in nodes[-1].output if name != "indices"]
    assert_same(model_of(opset, nodes, weights, outputs))


def test_the_result_is_a_valid_model_of_the_later_opset():
    squeeze = [node("ReduceMax", outputs=["m"], axes=[1]), node("Squeeze", ["m"], axes=[1])]

    upgraded = written_canonical(BACKEND.load(model_of(11, squeeze)))

    typed = onnx.shape_inference.infer_shapes(upgraded, check_type=True, strict_mode=True)
    onnx.checker.check_model(typed, full_check=True)
    assert [opset.version for opset in upgraded.opset_import if not opset.domain] == [14]


def written_canonical(model):
    return ir.to_proto(native(model).canonical)


def test_names_of_tensors_stay():
    nodes = [node("Softmax", outputs=["s"], axis=1), node("Unsqueeze", ["s"], axes=[0])]
    graph = BACKEND.graph(BACKEND.load(model_of(11, nodes)), Target(shapes={"x": (1, 3, 8, 8)}))

    assert {"x", "s", "y"} <= graph.tensors.keys()
    assert graph.tensors["s"].shape == (1, 3, 8, 8)


def test_the_number_of_axes_is_found_where_the_file_does_not_tell_it():
    nodes = [
        node("GlobalAveragePool", outputs=["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Softmax", ["f"], axis=1),
    ]
    model = assert_same(model_of(11, nodes))

    kinds = [one.op_type for one in written_canonical(model).graph.node]
    assert kinds == ["GlobalAveragePool", "Flatten", "Softmax"]


@pytest.mark.parametrize("opset", OLD)
def test_bodies_are_brought_along(opset):
    inner = helper.make_graph(
        [
            node("Squeeze", ["m"], ["s"], axes=[1]),
            node("Softmax", ["s"], ["t"]),
        ],
        "inner",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [node("ReduceSum", ["m"], ["u"], axes=[1], keepdims=0)],
        "other",
        [],
        [helper.make_tensor_value_info("u", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("ReduceMax", outputs=["m"], axes=[1]),
        node("If", ["flag"], ["y"], then_branch=inner, else_branch=other),
    ]
    proto = model_of(opset, nodes)
    proto.graph.input.append(helper.make_tensor_value_info("flag", TensorProto.BOOL, []))
    model = BACKEND.load(proto)
    for flag in (True, False):
        batch = {"x": noise(2, 3, 8, 8), "flag": np.array(flag)}
        np.testing.assert_allclose(
            run_canonical(model, batch)["y"], run(model, batch)["y"], rtol=1e-5
        )


def test_operators_of_other_domains_do_not_stop_it():
    squeeze = [node("ReduceMax", outputs=["m"], axes=[1]), node("Squeeze", ["m"], ["s"], axes=[1])]
    gelu = helper.make_node("Gelu", ["s"], ["y"], "gelu", domain="com.microsoft")
    proto = model_of(11, [*squeeze, gelu])
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    assert_same(proto)


@pytest.mark.parametrize(
    ("opset", "old", "reason"),
    [
        (7, node("BatchNormalization", ["x", *["one"] * 4], spatial=0), "spatial=0"),
        (10, node("Resize", ["x", "mixed"], mode="nearest"), "enlarges and reduces at once"),
        (8, node("Scan", ["", "x"], num_scan_inputs=1), "opset 8"),
    ],
)
def test_what_later_opsets_cannot_say_is_refused_by_name(opset, old, reason):
    if old.op_type == "Scan":
        body = helper.make_graph(
            [node("Relu", ["in"], ["out"])],
            "body",
            [helper.make_tensor_value_info("in", TensorProto.FLOAT, None)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        )
        old.attribute.append(helper.make_attribute("body", body))
    mixed = constant("mixed", np.float32([1, 1, 0.5, 2]))

    with pytest.raises(ModelError, match=reason) as caught:
        BACKEND.load(model_of(opset, [old], [*WEIGHTS[:1], mixed]))

    assert old.op_type in str(caught.value)
    assert "export the model again" in str(caught.value)


def test_an_old_network_is_quantized(opset=9):
    b = Builder(opset=opset)
    x = b.node("Clip", [b.conv("image", "conv", 3, 8)], "relu6", min=0.0, max=6.0)
    x = b.node("Upsample", [x, b.weight("s", np.float32([1, 1, 2, 2]))], "up", mode="nearest")
    x = b.conv(x, "last", 8, 4)
    proto = b.model({"image": (TensorProto.FLOAT, ["batch", 3, 8, 8])}, {x: ["batch", 4, 16, 16]})

    case = static_case(proto, {"image": noise(4, 3, 8, 8)})

    assert case.failures == {}
    assert case.sqnr("last_out") > 30
    assert {a.executed for a in case.audit.values()} == {"int8"}


def test_an_opset_that_is_older_still_goes_through_the_converter():
    proto = model_of(6, [node("Add", ["x", "x"])])
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2  # it knows no free dimensions
    model = BACKEND.load(proto)
    x = noise(2, 3, 8, 8)

    np.testing.assert_array_equal(run_canonical(model, {"x": x})["y"], 2 * x)
