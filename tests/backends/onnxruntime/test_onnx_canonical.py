import numpy as np
import onnx
import onnx_ir as ir
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper, numpy_helper
from onnx_case import BACKEND, canonical, images, run, run_canonical, words, written

CONVS = {
    "plain": lambda b: b.conv("image", "conv", 3, 8),
    "without bias": lambda b: b.node("Conv", ["image", b.random("w", 8, 3, 3, 3)], "conv"),
    "grouped": lambda b: b.conv(b.conv("image", "first", 3, 8), "conv", 8, 8, group=4),
    "depthwise": lambda b: b.conv(b.conv("image", "first", 3, 8), "conv", 8, 8, group=8),
    "transposed": lambda b: b.node(
        "ConvTranspose", ["image", b.random("w", 3, 8, 3, 3), b.random("bias", 8)], "conv"
    ),
    "transposed and grouped": lambda b: b.node(
        "ConvTranspose",
        [b.conv("image", "first", 3, 4), b.random("w", 4, 4, 2, 2)],
        "conv",
        group=2,
        strides=[2, 2],
    ),
}
AFFINES = {
    "batch norm": lambda b, x: b.batch_norm(x, "after", 8),
    "mul per channel": lambda b, x: b.node("Mul", [x, b.random("c", 8, 1, 1)], "after"),
    "mul per channel with a batch axis": lambda b, x: b.node(
        "Mul", [b.random("c", 1, 8, 1, 1), x], "after"
    ),
    "mul by a scalar": lambda b, x: b.node("Mul", [x, b.random("c")], "after"),
    "add per channel": lambda b, x: b.node("Add", [b.random("c", 8, 1, 1), x], "after"),
    "add a scalar": lambda b, x: b.node("Add", [x, b.random("c", 1)], "after"),
}


def loaded(b, *outputs):
    return BACKEND.load(b.ending(*outputs, image=["batch", 3, 8, 8]))


def kinds(model):
    return [node.op_type for node in canonical(model)]


def assert_same(model, batch):
    expected = run(model, batch)
    found = run_canonical(model, batch)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=2e-5)


@pytest.fixture(params=CONVS)
def conv(request):
    return CONVS[request.param]


@pytest.mark.parametrize("affine", AFFINES)
def test_what_scales_and_shifts_channels_is_folded(conv, affine):
    b = Builder()
    model = loaded(b, AFFINES[affine](b, conv(b)))

    assert not {"BatchNormalization", "Mul", "Add"} & set(kinds(model))


@pytest.mark.parametrize("affine", AFFINES)
def test_a_folded_model_computes_the_same(conv, affine):
    b = Builder()
    assert_same(loaded(b, AFFINES[affine](b, conv(b))), images())


def test_a_chain_is_folded_whole():
    b = Builder()
    x = b.node("Mul", [b.conv("image", "conv", 3, 8), b.random("m", 8, 1, 1)], "mul")
    x = b.batch_norm(b.node("Add", [x, b.random("a", 8, 1, 1)], "add"), "bn", 8)
    model = loaded(b, x)

    assert kinds(model) == ["Conv"]
    assert_same(model, images())


def test_the_epsilon_of_a_batch_norm_counts():
    b = Builder()
    parameters = [b.weight(name, np.full(8, 0.5, np.float32)) for name in "abcd"]
    x = b.conv("image", "conv", 3, 8)
    model = loaded(b, b.node("BatchNormalization", [x, *parameters], "bn", epsilon=0.25))

    assert kinds(model) == ["Conv"]
    assert_same(model, images())


def test_the_folded_convolution_makes_the_tensor_of_the_folded_operator():
    b = Builder()
    model = loaded(b, b.batch_norm(b.conv("image", "conv", 3, 8), "bn", 8))

    assert [output.name for output in canonical(model).outputs] == ["bn_out"]
    assert [node.name for node in canonical(model)] == ["conv"]


def unfolded_networks():
    def two_readers(b, x):
        return [b.node("Mul", [x, b.random("c", 8, 1, 1)], "scaled"), b.node("Tanh", [x], "other")]

    def read_twice(b, x):
        return [b.node("Add", [x, x], "twice")]

    def graph_output(b, x):
        return [x, b.node("Add", [x, b.random("c", 8, 1, 1)], "shifted")]

    def not_per_channel(b, x):
        return [b.node("Mul", [x, b.random("c", 8)], "per_column")]

    def not_constant(b, x):
        return [b.node("Mul", [x, b.node("GlobalAveragePool", [x], "pool")], "gate")]

    def widened(b, x):
        return [b.node("Add", [x, b.random("c", 1, 1, 8, 1, 1)], "five_axes")]

    return (two_readers, read_twice, graph_output, not_per_channel, not_constant, widened)


@pytest.mark.parametrize("network", unfolded_networks(), ids=lambda network: network.__name__)
def test_what_cannot_be_folded_stays(network):
    b = Builder()
    model = loaded(b, *network(b, b.conv("image", "conv", 3, 8)))

    assert kinds(model) == [node.op_type for node in written(model).graph.node]
    assert_same(model, images())


def test_nothing_is_folded_into_a_weight_that_is_computed():
    b = Builder()
    weight = b.node("Tanh", [b.random("raw", 8, 3, 3, 3)], "computed")
    model = loaded(b, b.batch_norm(b.node("Conv", ["image", weight], "conv"), "bn", 8))

    assert kinds(model) == ["Tanh", "Conv", "Conv"]
    assert_same(model, images())


def test_a_shared_weight_is_folded_for_each_reader_by_itself():
    b = Builder()
    weight = b.random("shared", 8, 3, 3, 3)
    one = b.batch_norm(b.node("Conv", ["image", weight], "one"), "one_bn", 8)
    two = b.batch_norm(b.node("Conv", ["image", weight], "two"), "two_bn", 8)
    three = b.node("Conv", ["image", weight], "three")
    model = loaded(b, one, two, three)

    assert kinds(model) == ["Conv"] * 3
    assert_same(model, images())


def test_a_name_that_folding_would_take_is_left_alone():
    b = Builder()
    x = b.node(
        "Conv", ["image", b.weight("conv.weight", np.ones((8, 3, 3, 3), np.float32))], "conv"
    )
    y = b.node("Conv", ["image", "conv.weight"], "other")
    model = loaded(b, b.batch_norm(x, "bn", 8), y)

    assert kinds(model) == ["Conv", "Conv"]
    assert_same(model, images())


def test_constant_nodes_become_initializers():
    b = Builder()
    value = numpy_helper.from_array(np.float32(2.0), "two")
    b.nodes.append(helper.make_node("Constant", [], ["two"], "constant", value=value))
    model = loaded(b, b.node("Mul", [b.conv("image", "conv", 3, 8), "two"], "mul"))

    assert kinds(model) == ["Conv"]
    assert_same(model, images())


@pytest.mark.parametrize("op", ["Identity", "Dropout"])
def test_operators_that_pass_on_are_dropped(op):
    b = Builder()
    x = b.node(op, [b.conv("image", "conv", 3, 8)], "pass")
    model = loaded(b, b.node("Relu", [x], "relu"))

    assert kinds(model) == ["Conv", "Relu"]
    assert_same(model, images())


def test_a_dropout_whose_mask_is_read_stays():
    b = Builder()
    x = b.conv("image", "conv", 3, 8)
    b.nodes.append(helper.make_node("Dropout", [x], ["kept", "mask"], "dropout"))
    model = loaded(b, "kept", b.node("Not", ["mask"], "dropped"))

    assert kinds(model) == ["Conv", "Dropout", "Not"]


def test_nodes_get_unique_names_and_keep_those_that_are():
    b = Builder()
    x = b.conv("image", "conv", 3, 8)
    for index, name in enumerate(["", "act", "act", "Tanh_1"]):
        b.nodes.append(helper.make_node("Tanh", [x], [f"r{index}"], name))
        x = f"r{index}"

    names = [node.name for node in canonical(loaded(b, x))]

    assert names == ["conv", "Tanh_1", "act", "act_1", "Tanh_1_1"]


def test_initializers_that_are_inputs_become_constants():
    b = Builder()
    proto = b.ending(b.conv("image", "conv", 3, 8), image=["batch", 3, 8, 8])
    proto.graph.input.append(
        helper.make_tensor_value_info("conv_w", TensorProto.FLOAT, [8, 3, 3, 3])
    )
    model = BACKEND.load(proto)

    assert [spec.name for spec in model.inputs] == ["image"]
    assert [value.name for value in canonical(model).inputs] == ["image"]
    assert_same(model, images())


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
def test_an_old_opset_is_upgraded(opset):
    b = Builder(opset=opset)
    x = b.node("Relu", [b.batch_norm(b.conv("image", "conv", 3, 8), "bn", 8)], "relu")
    model = loaded(b, b.node("Dropout", [b.node("Flatten", [x], "flat")], "drop"))

    assert canonical(model).opset_imports[""] >= 13
    assert written(model).opset_import[0].version == opset
    assert_same(model, images())


def test_a_function_is_inlined():
    b = Builder()
    x = b.conv("image", "conv", 3, 8)
    b.nodes.append(helper.make_node("Double", [x], ["doubled"], "double", domain="local"))
    graph = helper.make_graph(
        b.nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("doubled", TensorProto.FLOAT, ["batch", 8, 8, 8])],
        b.weights,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    body = [helper.make_node("Add", ["x", "x"], ["y"])]
    function = helper.make_function("local", "Double", ["x"], ["y"], body, opsets[:1])
    model = BACKEND.load(
        helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=9)
    )

    assert kinds(model) == ["Conv", "Add"]
    assert_same(model, images())


POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_an_activation_comes_before_what_moves_values(activation):
    b = Builder()
    x = b.node("MaxPool", [b.conv("image", "conv", 3, 8)], "pool", **POOL)
    x = b.node("Flatten", [x], "flat")
    x = b.relu6(x, "act") if activation == "Clip" else b.node("Relu", [x], "act")
    model = loaded(b, x)

    assert kinds(model) == ["Conv", activation, "MaxPool", "Flatten"]
    assert [value.name for value in canonical(model).outputs] == ["act_out"]
    assert_same(model, images())


def test_an_activation_stays_behind_what_another_one_reads():
    b = Builder()
    x = b.node("MaxPool", [b.conv("image", "conv", 3, 8)], "pool", **POOL)
    model = loaded(b, b.node("Relu", [x], "relu"), b.node("Tanh", [x], "tanh"))

    assert kinds(model) == ["Conv", "MaxPool", "Relu", "Tanh"]


def test_an_activation_stays_behind_an_output_of_the_model():
    b = Builder()
    x = b.node("MaxPool", [b.conv("image", "conv", 3, 8)], "pool", **POOL)
    model = loaded(b, x, b.node("Relu", [x], "relu"))

    assert kinds(model) == ["Conv", "MaxPool", "Relu"]
    assert_same(model, images())


def test_an_activation_stays_behind_a_pooled_input_which_is_smaller():
    b = Builder()
    x = b.node("MaxPool", ["image"], "pool", **POOL)

    assert kinds(loaded(b, b.node("Relu", [x], "relu"))) == ["MaxPool", "Relu"]


def test_an_activation_stays_behind_an_average():
    b = Builder()
    x = b.node("AveragePool", [b.conv("image", "conv", 3, 8)], "pool", **POOL)
    model = loaded(b, b.node("Relu", [x], "relu"))

    assert kinds(model) == ["Conv", "AveragePool", "Relu"]


def test_a_clip_with_a_computed_bound_stays():
    b = Builder()
    x = b.node("MaxPool", [b.conv("image", "conv", 3, 8)], "pool", **POOL)
    bound = b.node("ReduceMax", ["image"], "bound", keepdims=0)
    model = loaded(b, b.node("Clip", [x, "", bound], "clip"))

    assert kinds(model)[-1] == "Clip"
    assert_same(model, images())


@pytest.mark.parametrize(
    ("network", "batch"), [(convnet, images(4, 3, 16)), (transformer, words())]
)
def test_whole_networks_compute_the_same(network, batch):
    assert_same(BACKEND.load(network()), batch)


def test_loading_changes_neither_a_protobuf_nor_an_ir_model():
    proto = convnet()
    model = ir.from_proto(convnet())
    before = (proto.SerializeToString(), ir.to_proto(model).SerializeToString())

    BACKEND.load(proto)
    BACKEND.load(model)

    assert (proto.SerializeToString(), ir.to_proto(model).SerializeToString()) == before


def test_the_original_is_kept_as_it_was():
    proto = convnet()

    kept = written(BACKEND.load(proto))

    assert [n.op_type for n in kept.graph.node] == [n.op_type for n in proto.graph.node]
    assert isinstance(kept, onnx.ModelProto)


RESIZES = {
    "linear": {"mode": "linear"},
    "cubic": {"mode": "cubic"},
    "nearest": {"mode": "nearest"},
    "nearest with a filled border": {
        "mode": "nearest",
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": -3.0,
    },
}


@pytest.mark.parametrize("attributes", RESIZES.values(), ids=RESIZES)
@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_an_activation_behind_a_resize_computes_the_same(attributes, activation):
    b = Builder()
    roi = b.weight("roi", np.array([0, 0, -0.5, -0.5, 1, 1, 1.5, 1.5], np.float32))
    scales = b.weight("scales", np.array([1, 1, 2, 2], np.float32))
    x = b.node("Resize", [b.conv("image", "conv", 3, 8), roi, scales], "resize", **attributes)
    x = b.node("Relu", [x], "after") if activation == "Relu" else b.relu6(x, "after")
    model = loaded(b, x)

    expected, found = run(model, images()), run_canonical(model, images())
    np.testing.assert_allclose(found[x], expected[x], rtol=1e-5, atol=1e-5)


def test_a_dropout_whose_mask_is_returned_stays():
    b = Builder()
    b.nodes.append(
        helper.make_node("Dropout", [b.conv("image", "conv", 3, 8)], ["kept", "mask"], name="drop")
    )
    shape = ["batch", 8, 8, 8]
    graph = helper.make_graph(
        b.nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, shape),
        ],
        b.weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    assert run(BACKEND.load(proto), images())["mask"].all()
