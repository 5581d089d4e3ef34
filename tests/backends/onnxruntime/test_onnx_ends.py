"""What is built has the inputs and outputs of the original, names of free dimensions included."""

import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import BACKEND, images, planned_case, rows, static_case, words, written

from octavo.backends.base import Bias
from octavo.backends.onnxruntime.fingerprint import fingerprint
from octavo.backends.onnxruntime.load import native

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def ends(proto):
    """Return name, element type and dimensions of all inputs and outputs."""
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*proto.graph.input, *proto.graph.output)
    ]


def renamed(b, made):
    """Return the output as exporters name it, by an Identity."""
    (name,) = b.add("Identity", [made], ["result"], "rename")
    return name


def doubled():
    """Upsample what a convolution makes by 2, as a decoder does; sizes are free."""
    b = Builder()
    x = b.node(
        "MaxPool", [b.conv("image", "first", 3, 8)], "pool", kernel_shape=[2, 2], strides=[2, 2]
    )
    scales = b.weight("scales", np.array([1, 1, 2, 2], np.float32))
    x = b.node("Resize", [x, "", scales], "resize", mode="nearest")
    y = renamed(b, b.conv(x, "last", 8, 1))
    return b.model({"image": (FLOAT, ["N", 3, "H", "W"])}, {y: ["N", 1, "H", "W"]})


def branches():
    """Return one of two products by a flag."""
    b = Builder()
    bodies = {}
    for name in ("then", "else"):
        inner = [helper.make_node("MatMul", ["rows", f"{name}_w"], [f"{name}_y"], name=name)]
        b.random(f"{name}_w", 16, 6, scale=0.3)
        out = helper.make_tensor_value_info(f"{name}_y", FLOAT, None)
        bodies[f"{name}_branch"] = helper.make_graph(inner, name, [], [out])
    y = b.node("If", ["flag"], "choose", **bodies)
    y = renamed(b, b.gemm(y, "head", 6, 6))
    inputs = {"rows": (FLOAT, ["N", 16]), "flag": (TensorProto.BOOL, [])}
    return b.model(inputs, {y: ["N", 6]})


def nonzero():
    """Return the places where scores are positive; only running tells how many there are."""
    b = Builder()
    b.node("NonZero", [b.node("Relu", [b.conv("image", "scores", 3, 2)], "relu")], "places")
    made = b.model({"image": (FLOAT, ["N", 3, 8, 8])}, {"relu_out": ["N", 2, "rows", "columns"]})
    made.graph.output.append(helper.make_tensor_value_info("places_out", INT64, [4, "K"]))
    return made


def products():
    """Two linear layers with a bias and a Relu between them, of sentences of any length."""
    b = Builder()
    x = b.node("Relu", [b.linear("sentence", "first", 16, 32)], "relu")
    y = renamed(b, b.linear(x, "second", 32, 4))
    return b.model({"sentence": (FLOAT, ["batch", "length", 16])}, {y: ["batch", "length", 4]})


def table():
    b = Builder()
    y = renamed(b, b.node("Gather", [b.random("table", 1024, 32), "ids"], "embedding"))
    return b.model({"ids": (INT64, ["batch", "length"])}, {y: ["batch", "length", 32]})


SENTENCE = {"sentence": np.random.default_rng(0).normal(size=(2, 5, 16)).astype(np.float32)}
CASES = {
    "upsampled": (doubled, images()),
    "branches": (branches, rows() | {"flag": np.array(True)}),
    "places": (nonzero, images(1)),
    "products": (products, SENTENCE),
    "table": (table, words()),
}


@pytest.fixture(params=CASES)
def case(request):
    network, batch = CASES[request.param]
    return static_case(network(), batch)


def test_the_int8_model_has_the_ends_of_the_original(case):
    assert case.plan.formats
    assert ends(written(case.built)) == ends(written(case.model))
    assert (case.built.inputs, case.built.outputs) == (case.model.inputs, case.model.outputs)


def test_a_saved_int8_model_declares_what_the_original_does(case, tmp_path):
    BACKEND.save(case.built, tmp_path)
    restored = BACKEND.restore(tmp_path)
    assert (restored.inputs, restored.outputs) == (case.model.inputs, case.model.outputs)


def test_so_does_the_dynamic_form():
    case = planned_case(products(), SENTENCE, approach="dynamic")
    assert case.plan.formats
    assert ends(written(case.built)) == ends(written(case.model))


def test_so_does_a_model_with_a_bias_behind_its_last_product():
    b = Builder()
    y = b.node("MatMul", ["rows", b.random("w", 16, 4)], "product")
    model = BACKEND.load(b.model({"rows": (FLOAT, ["N", 16])}, {y: ["N", 4]}))
    edited = BACKEND.edit(model, [Bias("product", np.ones(4, np.float32))])
    assert [node.op_type for node in written(edited).graph.node] == ["MatMul", "Add"]
    assert ends(written(edited)) == ends(written(model))


def test_so_does_a_model_without_the_quantization_that_it_carried():
    case = static_case(doubled(), images())
    carried = BACKEND.load(written(case.built))
    bare = BACKEND.without_quantization(carried)
    assert ends(written(bare)) == ends(written(case.model))


def test_the_form_that_is_quantized_is_not_changed_by_what_is_built_of_it(case):
    again = native(BACKEND.load(written(case.model))).canonical.graph
    assert case.built is not case.model
    assert fingerprint(native(case.model).canonical.graph) == fingerprint(again)
