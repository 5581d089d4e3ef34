import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper, numpy_helper
from onnx_case import BACKEND, TARGET, VNNI

from octavo.target import Target


def describe(proto, **shapes):
    return BACKEND.graph(BACKEND.load(proto), Target(shapes=shapes))


def image_graph(b, *outputs):
    return describe(b.ending(*outputs, image=["batch", 3, 8, 8]))


def row_graph(b, *outputs):
    return describe(b.ending(*outputs, rows=["batch", 16]))


@pytest.fixture(scope="module")
def convolutional():
    return describe(convnet())


@pytest.fixture(scope="module")
def attention():
    return describe(transformer())


def body(name, node, *constants):
    output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    return helper.make_graph([node], name, [], [output], list(constants))


def branching(slope=0.1, factor=1.0):
    """Return a network with an If between two convolutions, whose branches read the first."""
    b = Builder()
    x = b.conv("image", "first", 3, 4)
    constant = numpy_helper.from_array(np.float32(factor), "factor")
    then = body("then", helper.make_node("LeakyRelu", [x], ["then_out"], alpha=slope))
    other = body("else", helper.make_node("Mul", [x, "factor"], ["else_out"]), constant)
    b.nodes.append(
        helper.make_node("If", ["flag"], ["chosen"], "branch", then_branch=then, else_branch=other)
    )
    y = b.conv("chosen", "second", 4, 4)
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        helper.make_tensor_value_info(y, TensorProto.FLOAT, ["batch", 4, 8, 8]),
    ]
    graph = helper.make_graph(b.nodes, "network", ends[:2], ends[2:], b.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class TestKinds:
    @pytest.mark.parametrize(
        ("op", "kind"),
        [
            ("Sub", "add"), ("Div", "mul"), ("Sigmoid", "activation"), ("Erf", "activation"),
            ("Softmax", "softmax"), ("GlobalMaxPool", "pool"), ("Shape", "other"),
            ("DepthToSpace", "move"), ("Mod", "other"),
        ],
    )  # fmt: skip
    def test_an_operator_has_its_neutral_kind(self, op, kind):
        b = Builder()
        inputs = ["image", "image"] if op in ("Sub", "Div", "Mod") else ["image"]
        extra = {"DepthToSpace": {"blocksize": 1}, "Mod": {"fmod": 1}}.get(op, {})
        graph = image_graph(b, b.node(op, inputs, "op", **extra))

        assert graph.op_by_name["op"].kind == kind

    def test_whole_networks(self, convolutional, attention):
        kinds = {graph.op_by_name[op].kind for graph in (convolutional, attention)
                 for op in graph.op_by_name}  # fmt: skip

        assert kinds == {
            "conv", "activation", "pool", "add", "concat", "move", "matmul", "embedding", "mul",
            "softmax", "normalize",
        }  # fmt: skip

    def test_a_gather_of_activations_is_a_move(self):
        b = Builder()
        x = b.node("Gather", ["rows", b.weight("i", np.array([0]))], "pick", axis=1)

        assert row_graph(b, x).op_by_name["pick"].kind == "move"

    def test_an_operator_of_another_domain_is_other(self):
        b = Builder()
        b.nodes.append(helper.make_node("Conv", ["x"], ["y"], "strange", domain="unheard.of"))
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in "xy"]
        graph = helper.make_graph(b.nodes, "g", ends[:1], ends[1:])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("unheard.of", 1)]

        found = describe(helper.make_model(graph, opset_imports=opsets))

        assert found.op_by_name["strange"].kind == "other"
        assert found.groups[0].refusal == (
            "Conv is an operator of unheard.of, which is taken as it is"
        )

    def test_the_native_name_is_kept(self, attention):
        assert attention.op_by_name["embedding"].native == "Gather"


class TestGroups:
    def test_every_operator_is_in_one_group(self, convolutional, attention):
        for graph in (convolutional, attention):
            members = [op for group in graph.groups for op in group.ops]
            assert sorted(members) == sorted(graph.op_by_name)

    def test_convolution_takes_the_activation_behind_it(self, convolutional):
        assert convolutional.group_by_id["stem"].ops == ("stem", "stem_r")
        assert convolutional.group_by_id["depthwise"].ops == ("depthwise", "d6")

    def test_add_takes_the_activation_behind_it(self, convolutional):
        assert convolutional.group_by_id["residual"].ops == ("residual", "residual_r")

    def test_matmul_takes_its_bias_and_the_activation_behind_that(self):
        b = Builder()
        graph = row_graph(b, b.node("Relu", [b.linear("rows", "dense", 16, 8)], "relu"))

        assert [group.ops for group in graph.groups] == [("dense", "dense_bias", "relu")]
        assert graph.groups[0].inputs == ("rows",)
        assert graph.groups[0].outputs == ("relu_out",)

    def test_a_constant_of_two_axes_is_no_bias(self):
        b = Builder()
        x = b.node("MatMul", ["rows", b.random("w", 16, 8)], "dense")
        graph = row_graph(b, b.node("Add", [x, b.random("c", 1, 8)], "add"))

        assert [group.ops for group in graph.groups] == [("dense",), ("add",)]

    def test_gemm_holds_its_bias(self, convolutional):
        assert convolutional.group_by_id["head"].ops == ("head",)
        assert convolutional.op_by_name["head"].weights == ("head_w", "head_b")

    def test_a_product_of_activations_takes_no_constant_behind_it(self):
        b = Builder()
        x = b.node("MatMul", ["rows", b.node("Transpose", ["rows"], "t")], "scores")
        graph = row_graph(b, b.node("Add", [x, b.random("mask", 1)], "masked"))

        assert graph.group_by_id["scores"].ops == ("scores",)

    def test_an_activation_that_is_read_beside_another_reader_is_a_group_of_its_own(self):
        b = Builder()
        x = b.conv("image", "conv", 3, 4)
        graph = image_graph(b, b.node("Relu", [x], "relu"), b.node("Sigmoid", [x], "other"))

        assert {group.id for group in graph.groups} == {"conv", "relu", "other"}

    def test_an_activation_behind_a_graph_output_is_a_group_of_its_own(self):
        b = Builder()
        x = b.conv("image", "conv", 3, 4)
        graph = image_graph(b, x, b.node("Relu", [x], "relu"))

        assert {group.id for group in graph.groups} == {"conv", "relu"}

    def test_an_activation_behind_a_pooled_input_is_a_group_of_its_own(self):
        b = Builder()
        x = b.node("MaxPool", ["image"], "pool", kernel_shape=[2, 2])
        graph = image_graph(b, b.node("Relu", [x], "relu"))

        assert {group.id for group in graph.groups} == {"pool", "relu"}
        assert graph.tensors["relu_out"].tie is None

    def test_a_clip_with_computed_bounds_is_a_group_of_its_own(self):
        b = Builder()
        x = b.conv("image", "conv", 3, 4)
        bound = b.node("ReduceMax", ["image"], "bound", keepdims=0)
        graph = image_graph(b, b.node("Clip", [x, "", bound], "clip"))

        assert graph.group_by_id["conv"].ops == ("conv",)

    def test_an_operator_that_reads_a_tensor_twice_names_it_twice(self):
        b = Builder()
        graph = image_graph(b, b.node("Add", ["image", "image"], "twice"))

        assert graph.group_by_id["twice"].inputs == ("image", "image")

    def test_arguments_are_no_inputs(self):
        b = Builder()
        shape = b.node("Shape", ["image"], "shape")
        graph = image_graph(b, b.node("Reshape", ["image", shape], "reshape"))

        assert graph.group_by_id["reshape"].inputs == ("image",)
        assert graph.op_by_name["reshape"].inputs == ("image", "shape_out")

    def test_the_index_of_an_embedding_is_its_input(self, attention):
        group = attention.group_by_id["embedding"]

        assert (group.inputs, group.outputs) == (("ids",), ("embedding_out",))
        assert attention.op_by_name["embedding"].weights == ("words",)

    def test_equal_layers_share_a_pattern_and_others_do_not(self, attention):
        groups = attention.group_by_id

        assert groups["q"].pattern == groups["k"].pattern
        assert groups["q"].pattern != groups["intermediate"].pattern

    def test_a_pattern_tells_attributes_apart(self):
        b = Builder()
        one, two = b.conv("image", "one", 3, 4), b.conv("image", "two", 3, 4, stride=2)
        groups = image_graph(b, one, two).group_by_id

        assert groups["one"].pattern != groups["two"].pattern

    def test_what_a_body_reads_from_outside_is_an_input(self):
        graph = describe(branching())

        assert graph.group_by_id["branch"].kind == "control"
        assert graph.group_by_id["branch"].inputs == ("flag", "first_out")
        assert graph.op_by_name["branch"].inputs == ("flag", "first_out")

    def test_what_a_loop_reads_from_outside_is_an_input(self):
        b = Builder()
        x = b.conv("image", "first", 3, 4)
        specs = [("step", TensorProto.INT64), ("going", TensorProto.BOOL)]
        carried = [
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ]
        inner = helper.make_graph(
            [helper.make_node("Identity", ["going"], ["still"]),
             helper.make_node("Add", ["state", x], ["next"])],
            "body",
            [*(helper.make_tensor_value_info(n, t, []) for n, t in specs), carried[0]],
            [helper.make_tensor_value_info("still", TensorProto.BOOL, []), carried[1]],
        )  # fmt: skip
        trips = b.weight("trips", np.array(3, np.int64))
        start = b.conv("image", "second", 3, 4)
        b.nodes.append(helper.make_node("Loop", [trips, "", start], ["end"], "loop", body=inner))

        graph = image_graph(b, b.reshape("end", "shaped", -1, 4, 8, 8))

        assert graph.group_by_id["loop"].inputs == ("second_out", "first_out")


class TestRoles:
    def test_products_compute(self, convolutional, attention):
        compute = [g.kind for graph in (convolutional, attention) for g in graph.groups
                   if g.role == "compute"]  # fmt: skip

        assert set(compute) == {"conv", "matmul", "embedding"}

    def test_what_lies_between_follows(self, convolutional):
        roles = {group.id: group.role for group in convolutional.groups}

        assert {roles[name] for name in ("pool", "residual", "join", "average", "flat")} == {
            "follow"
        }

    def test_what_has_no_integer_kernel_is_float_and_says_why(self, attention):
        groups = attention.group_by_id

        assert groups["norm1"].role == "float"
        assert groups["norm1"].refusal == "ONNX Runtime has no INT8 kernel for LayerNormalization"
        assert groups["attention"].refusal == (
            "QLinearSoftmax is about 8 times slower than the float kernel"
        )


class TestTies:
    def test_what_moves_values_shares_their_range(self, convolutional):
        tensors = convolutional.tensors

        assert tensors["stem_r_out"].tie == tensors["pool_out"].tie is not None
        assert tensors["global_out"].tie == tensors["flat_out"].tie is not None

    def test_a_concat_shares_one_range(self, convolutional):
        ties = {
            convolutional.tensors[name].tie for name in ("left_r_out", "right_r_out", "join_out")
        }

        assert len(ties) == 1
        assert None not in ties

    def joined(self, left, right):
        """Return whether a concat of two convolutions with these activations is tied."""
        b = Builder()
        x = left(b, b.conv("image", "left", 3, 4))
        y = right(b, b.conv("image", "right", 3, 4))
        graph = image_graph(b, b.node("Concat", [x, y], "join", axis=1))
        ties = {graph.tensors[name].tie for name in (x, y, "join_out")}
        return len(ties) == 1 and None not in ties

    @staticmethod
    def plain(b, x):
        return x

    @staticmethod
    def relu(b, x):
        return b.node("Relu", [x], f"{x}_relu")

    @staticmethod
    def relu6(b, x):
        return b.relu6(x, f"{x}_relu6")

    @classmethod
    def pooled_relu(cls, b, x):
        window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        y = b.node("AveragePool", [cls.relu(b, x)], f"{x}_average", **window)
        return b.node("MaxPool", [y], f"{x}_pool", **window)

    def test_a_concat_of_equal_bounds_shares_one_range(self):
        assert self.joined(self.plain, self.plain)
        assert self.joined(self.relu, self.relu)
        assert self.joined(self.relu6, self.relu6)
        assert self.joined(self.relu, self.pooled_relu)

    def test_a_concat_of_other_bounds_does_not(self):
        assert not self.joined(self.relu, self.plain)
        assert not self.joined(self.relu, self.relu6)
        assert not self.joined(self.plain, self.pooled_relu)

    def test_an_average_has_a_range_of_its_own(self, convolutional):
        assert convolutional.tensors["average_out"].tie is None

    def test_ties_join_over_several_operators(self):
        b = Builder()
        x = b.node("MaxPool", [b.conv("image", "conv", 3, 4)], "pool", kernel_shape=[2, 2])
        graph = image_graph(b, b.node("Flatten", [x], "flat"))

        assert len({graph.tensors[n].tie for n in ("conv_out", "pool_out", "flat_out")}) == 1

    def test_what_stays_float_ties_nothing(self):
        b = Builder()
        graph = image_graph(b, b.node("GlobalMaxPool", ["image"], "pool"))

        assert graph.ties == {}


class TestMacs:
    def macs(self, graph, name):
        return graph.op_by_name[name].macs

    def test_convolutions(self, convolutional):
        assert self.macs(convolutional, "stem") == 16 * 16 * 16 * 3 * 3 * 3
        assert self.macs(convolutional, "expand") == 8 * 8 * 32 * 16
        assert self.macs(convolutional, "depthwise") == 8 * 8 * 32 * 3 * 3
        assert self.macs(convolutional, "right") == 8 * 8 * 16 * (16 // 4) * 3 * 3

    def test_a_strided_convolution(self):
        b = Builder()
        graph = image_graph(b, b.conv("image", "conv", 3, 4, stride=2))

        assert self.macs(graph, "conv") == 4 * 4 * 4 * 3 * 3 * 3

    def test_a_transposed_convolution(self):
        b = Builder()
        x = b.node("ConvTranspose", ["image", b.random("w", 3, 5, 2, 2)], "up", strides=[2, 2])

        assert self.macs(image_graph(b, x), "up") == 8 * 8 * 3 * 5 * 2 * 2

    def test_gemm(self, convolutional):
        assert self.macs(convolutional, "head") == 32 * 10

    @pytest.mark.parametrize("transposed", [0, 1])
    def test_a_batched_gemm(self, transposed):
        b = Builder()
        weight = b.random("w", 8, 16) if transposed else b.random("w", 16, 8)
        proto = b.ending(
            b.node("Gemm", ["rows", weight], "gemm", transB=transposed), rows=["batch", 16]
        )

        assert self.macs(describe(proto, rows=(4, 16)), "gemm") == 4 * 16 * 8

    def test_matrix_products(self, attention):
        assert self.macs(attention, "q") == 8 * 32 * 32
        assert self.macs(attention, "scores") == 2 * 8 * 16 * 8
        assert self.macs(attention, "mix") == 2 * 8 * 8 * 16

    def test_a_group_has_those_of_its_operators(self, convolutional):
        assert convolutional.group_by_id["stem"].macs == self.macs(convolutional, "stem")
        assert convolutional.macs == sum(group.macs for group in convolutional.groups)

    def test_they_follow_the_shapes_of_the_target(self):
        one, four = describe(convnet()), describe(convnet(), image=(4, 3, 16, 16))

        assert four.macs == 4 * one.macs


class TestTensors:
    def test_free_dimensions_are_one(self, convolutional):
        assert convolutional.tensors["stem_r_out"].shape == (1, 16, 16, 16)

    def test_shapes_follow_the_target(self):
        graph = describe(convnet(), image=(4, 3, 16, 16))

        assert graph.tensors["stem_r_out"].shape == (4, 16, 16, 16)
        assert graph.tensors["head_out"].shape == (4, 10)

    def test_a_fixed_batch_is_kept(self):
        assert describe(convnet(batch=3)).tensors["pool_out"].shape == (3, 16, 8, 8)

    def test_a_dimension_that_only_running_tells_is_none(self):
        b = Builder()
        positions = b.node("NonZero", ["rows"], "nonzero")
        graph = row_graph(b, b.node("Cast", [positions], "cast", to=TensorProto.FLOAT))

        assert graph.tensors["cast_out"].shape == (2, None)

    def test_dtypes_are_numpys_names(self, attention):
        assert attention.tensors["ids"].dtype == "int64"
        assert attention.tensors["embedding_out"].dtype == "float32"

    def test_inputs_and_outputs_are_named(self, attention):
        assert (attention.inputs, attention.outputs) == (("ids",), ("norm2_out",))

    def test_every_tensor_of_a_group_is_described(self, convolutional, attention):
        for graph in (convolutional, attention):
            used = {name for group in graph.groups for name in (*group.inputs, *group.outputs)}
            assert used <= graph.tensors.keys()


class TestFingerprint:
    @pytest.mark.parametrize("network", [convnet, transformer, branching])
    def test_it_is_the_same_at_every_load(self, network):
        assert describe(network()).fingerprint == describe(network()).fingerprint

    def test_it_does_not_depend_on_the_target(self):
        model = BACKEND.load(convnet())

        first, second = (BACKEND.graph(model, target).fingerprint for target in (TARGET, VNNI))

        assert first == second

    def test_one_bit_of_a_weight_changes_it(self):
        proto = convnet()
        tensor = next(w for w in proto.graph.initializer if w.name == "head_w")
        content = bytearray(tensor.raw_data)
        content[1000] ^= 1
        tensor.raw_data = bytes(content)

        assert describe(proto).fingerprint != describe(convnet()).fingerprint

    def test_an_attribute_changes_it(self):
        proto = convnet()
        node = next(node for node in proto.graph.node if node.name == "pool")
        next(a for a in node.attribute if a.name == "strides").ints[:] = [1, 2]

        assert describe(proto).fingerprint != describe(convnet()).fingerprint

    def test_the_type_of_an_operator_changes_it(self):
        proto = convnet()
        next(node for node in proto.graph.node if node.name == "left_r").op_type = "Sigmoid"

        assert describe(proto).fingerprint != describe(convnet()).fingerprint

    def test_the_shape_of_an_input_changes_it(self):
        assert describe(convnet(batch=1)).fingerprint != describe(convnet(batch=2)).fingerprint

    def test_an_attribute_inside_a_body_changes_it(self):
        assert describe(branching(slope=0.2)).fingerprint != describe(branching()).fingerprint

    def test_a_weight_inside_a_body_changes_it(self):
        assert describe(branching(factor=2.0)).fingerprint != describe(branching()).fingerprint
