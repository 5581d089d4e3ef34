"""If, Loop and Scan: their bodies stay as they are, and what they read keeps its name."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from networks import Builder
from onnx import TensorProto, helper, numpy_helper
from onnx_case import BACKEND, TARGET, canonical, images, noise, planned_case, run, written

from octavo.backends.onnxruntime.graph import IN_BODIES
from octavo.target import Target

FLOAT = TensorProto.FLOAT


def value(name, elem_type=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, elem_type, shape)


def node(op, inputs, output, **attributes):
    return helper.make_node(
        op, list(inputs), [output], attributes.pop("name", output), **attributes
    )


def body(name, nodes, inputs=(), outputs=(), constants=()):
    """Return a graph; constants are arrays by name."""
    weights = [numpy_helper.from_array(array, key) for key, array in dict(constants).items()]
    ends = [end if isinstance(end, onnx.ValueInfoProto) else value(end) for end in outputs]
    return helper.make_graph(list(nodes), name, list(inputs), ends, weights)


def branch(flag, output, then, other):
    return node("If", [flag], output, then_branch=then, else_branch=other, name="branch")


def image_model(b, outputs, flag=True):
    ends = [value("image", FLOAT, ["batch", 3, 8, 8])]
    ends += [value("flag", TensorProto.BOOL, [])] if flag else []
    graph = helper.make_graph(b.nodes, "network", ends, [value(o) for o in outputs], b.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def batch(flag):
    return images() | {"flag": np.array(flag)}


def convolutional_branches():
    """Return conv, an If whose branches read it and hold a convolution, conv."""
    b = Builder()
    x = b.node("Relu", [b.conv("image", "first", 3, 8)], "first_r")
    weight = noise(8, 8, 3, 3) * np.float32(0.2)
    then = body("then", [node("Conv", [x, "inner_w"], "t", pads=[1] * 4)], (), ["t"],
                {"inner_w": weight})  # fmt: skip
    other = body("else", [node("LeakyRelu", [x], "e", alpha=0.3)], (), ["e"])
    b.nodes.append(branch("flag", "chosen", then, other))
    y = b.conv(b.node("Add", ["chosen", x], "sum"), "last", 8, 4)
    return image_model(b, [y])


@pytest.fixture(scope="module", params=[True, False], ids=["then", "else"])
def case(request):
    return planned_case(convolutional_branches(), batch(request.param))


class TestBranches:
    def test_the_bodies_stay_in_float_and_say_so(self, case):
        group = case.graph.group_by_id["branch"]

        assert (group.kind, group.role, group.refusal) == ("control", "float", IN_BODIES)
        assert case.audit["branch"].executed == "fp32"

    def test_the_rest_is_quantized_and_close(self, case):
        assert case.failures == {}
        assert {case.audit[name].executed for name in ("first", "last")} == {"int8"}
        assert case.sqnr("last_out") > 30

    def test_a_body_reads_the_dequantized_value_by_its_name(self, case):
        inner = next(n for n in case.nodes if n.op_type == "If").attribute[0].g.node[0]
        maker = next(n for n in case.nodes if "first_r_out" in n.output)

        assert inner.input[0] == "first_r_out"
        assert maker.op_type == "DequantizeLinear"

    def test_the_bodies_are_not_changed(self, case):
        before = next(n for n in written(case.model).graph.node if n.op_type == "If")
        after = next(n for n in case.nodes if n.op_type == "If")

        for old, new in zip(before.attribute, after.attribute, strict=True):
            assert new.g.node == old.g.node
            assert new.g.initializer == old.g.initializer
            assert [v.name for v in new.g.output] == [v.name for v in old.g.output]

    def test_the_larger_branch_is_the_work(self, case):
        assert case.graph.group_by_id["branch"].macs == 64 * 8 * 8 * 9

    def test_it_is_saved_and_restored(self, case, tmp_path):
        BACKEND.save(case.built, tmp_path)
        found = run(BACKEND.restore(tmp_path), case.batch)["last_out"]

        np.testing.assert_array_equal(found, case.int8_outputs["last_out"])


def test_what_a_nested_body_reads_is_an_input_of_the_outermost():
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    side = b.conv("image", "side", 3, 8)
    inner_then = body("inner_then", [node("Mul", [side, "two"], "it")], (), ["it"],
                      {"two": np.float32(2)})  # fmt: skip
    inner_else = body("inner_else", [node("Neg", [side], "ie")], (), ["ie"])
    inner = node("If", ["flag"], "i", name="inner", then_branch=inner_then, else_branch=inner_else)
    then = body("then", [inner, node("Add", ["i", x], "t")], (), ["t"])
    b.nodes.append(
        branch("flag", "chosen", then, body("else", [node("Identity", [x], "e")], (), ["e"]))
    )
    case = planned_case(image_model(b, [b.conv("chosen", "last", 8, 4)]), batch(True))

    assert set(case.graph.group_by_id["branch"].inputs) == {"flag", x, side}
    assert case.failures == {}
    assert case.sqnr("last_out") > 30


def test_a_loop_with_a_state_a_scan_output_and_a_captured_weight():
    b = Builder()
    x = b.linear("rows", "enter", 16, 16)
    b.random("step_w", 16, 16, scale=0.2)
    round_ = body(
        "round",
        [
            node("MatMul", ["state", "step_w"], "product"),
            node("Add", ["product", x], "moved"),
            node("Tanh", ["moved"], "next"),
            node("ReduceMean", ["next"], "mean", axes=[1], keepdims=0),
            node("Identity", ["going"], "still"),
        ],
        [value("i", TensorProto.INT64, []), value("going", TensorProto.BOOL, []), value("state")],
        [value("still", TensorProto.BOOL, []), "next", "mean"],
    )
    b.weight("trips", np.array(5)), b.weight("yes", np.array(True))
    b.nodes.append(
        helper.make_node("Loop", ["trips", "yes", x], ["last", "means"], "loop", body=round_)
    )
    y = b.linear("last", "leave", 16, 4)
    ends = [value("rows", FLOAT, ["batch", 16])]
    graph = helper.make_graph(b.nodes, "network", ends, [value(y), value("means")], b.weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    rows = {"rows": noise(4, 16)}
    case = planned_case(proto, rows)

    assert case.graph.group_by_id["loop"].refusal == IN_BODIES
    assert case.failures == {}
    assert {case.audit[name].executed for name in ("enter", "leave")} == {"int8"}
    assert {n: case.sqnr(n) for n in case.float_outputs if case.sqnr(n) < 30} == {}


def test_a_scan():
    b = Builder()
    x = b.linear("rows", "enter", 16, 16)
    step = body(
        "step",
        [node("Add", ["sum", "row"], "next"), node("Identity", ["next"], "out")],
        [value("sum", FLOAT, [16]), value("row", FLOAT, [16])],
        ["next", "out"],
    )
    b.weight("start", np.zeros(16, np.float32))
    b.nodes.append(
        helper.make_node("Scan", ["start", x], ["total", "sums"], "scan", body=step,
                         num_scan_inputs=1)
    )  # fmt: skip
    y = b.linear("sums", "leave", 16, 4)
    ends = [value("rows", FLOAT, ["batch", 16])]
    graph = helper.make_graph(b.nodes, "network", ends, [value(y)], b.weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    case = planned_case(proto, {"rows": noise(6, 16)})

    assert case.failures == {}
    assert case.audit["scan"].executed == "fp32"
    assert case.sqnr(y) > 30


@pytest.mark.parametrize("approach", ["static", "dynamic"])
def test_a_weight_that_a_body_shares_stays_float_for_it(approach):
    b = Builder()
    b.random("shared_w", 16, 16, scale=0.3)
    x = b.node("MatMul", ["rows", "shared_w"], "outer")
    then = body("then", [node("MatMul", [x, "shared_w"], "t")], (), ["t"])
    other = body("else", [node("Neg", [x], "e")], (), ["e"])
    b.nodes.append(branch("flag", "chosen", then, other))
    ends = [value("rows", FLOAT, ["batch", 16]), value("flag", TensorProto.BOOL, [])]
    graph = helper.make_graph(b.nodes, "network", ends, [value("chosen")], b.weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    rows = {"rows": noise(4, 16), "flag": np.array(True)}
    case = planned_case(proto, rows, approach=approach)

    assert case.failures == {}
    assert case.audit["outer"].executed.startswith("int8")
    weights = {t.name: t.data_type for t in written(case.built).graph.initializer}
    assert weights["shared_w"] == FLOAT
    assert case.sqnr("chosen") > 30


def test_a_dynamic_quantizer_inside_a_body_is_not_used_outside():
    b = Builder()
    x = b.node("Relu", ["rows"], "source")
    quantizer = helper.make_node("DynamicQuantizeLinear", [x], ["v", "s", "z"], "dql")
    inside = node("DequantizeLinear", ["v", "s", "z"], "t")
    then = body("then", [quantizer, inside], (), ["t"])
    other = body("else", [node("Neg", [x], "e")], (), ["e"])
    b.nodes.append(branch("flag", "chosen", then, other))
    y = b.node("Add", ["chosen", b.linear(x, "dense", 16, 16)], "end")
    ends = [value("rows", FLOAT, ["batch", 16]), value("flag", TensorProto.BOOL, [])]
    graph = helper.make_graph(b.nodes, "network", ends, [value(y)], b.weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    rows = {"rows": noise(4, 16), "flag": np.array(True)}
    case = planned_case(proto, rows, approach="dynamic")

    assert case.failures == {}
    assert case.sqnr(y) > 30


def test_new_names_keep_clear_of_those_inside_bodies():
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    inside = [node("Neg", [x], f"{x}.quantized"), node("Abs", [f"{x}.quantized"], f"{x}.float")]
    then = body("then", inside, (), [f"{x}.float"])
    other = body("else", [node("Mul", [x, f"{x}.scale"], "e")], (), ["e"],
                 {f"{x}.scale": np.float32(3)})  # fmt: skip
    b.nodes.append(branch("flag", "chosen", then, other))
    y = b.conv(b.node("Add", [x, "chosen"], "sum"), "last", 8, 4)
    case = planned_case(image_model(b, [y]), batch(False))

    assert case.failures == {}
    assert case.sqnr(y) > 30


def test_nodes_inside_bodies_are_told_apart_from_groups():
    """Kernels are assigned to groups by name: a body may not have a node of the same one."""
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    then = body("then", [node("Neg", [x], "t", name="first")], (), ["t"])
    other = body("else", [node("Abs", [x], "e", name="last")], (), ["e"])
    b.nodes.append(branch("flag", "chosen", then, other))
    case = planned_case(image_model(b, [b.conv("chosen", "last", 8, 4)]), batch(True))
    names = [n.name for n in canonical(case.model).all_nodes()]

    assert len(set(names)) == len(names)
    assert case.audit["first"].kernels == ("QLinearConv",)


def test_what_only_a_body_reads_survives():
    b = Builder()
    b.random("only_w", 1, 8, 1, 1)
    x = b.conv("image", "first", 3, 8)
    side = b.conv("image", "side", 3, 8, 1)
    then = body("then", [node("Mul", [side, "only_w"], "t")], (), ["t"])
    other = body("else", [node("Add", [x, x], "e")], (), ["e"])
    b.nodes.append(branch("flag", "chosen", then, other))
    case = planned_case(image_model(b, [b.conv("chosen", "last", 8, 4)]), batch(True))

    assert "only_w" in {t.name for t in written(case.built).graph.initializer}
    assert case.failures == {}
    assert case.sqnr("last_out") > 30


def test_what_a_body_returns_is_made_in_it():
    """ONNX Runtime refuses a body that returns a value from outside: its Identity has to stay."""
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    same = [body(name, [node("Identity", [x], name)], (), [name]) for name in ("t", "e")]
    b.nodes.append(branch("flag", "chosen", *same))
    case = planned_case(image_model(b, [b.conv("chosen", "last", 8, 4), x]), batch(True))

    assert [spec.name for spec in case.built.outputs] == ["last_out", x]
    assert case.sqnr("last_out") > 30


def test_shapes_behind_a_branch_are_known():
    graph = BACKEND.graph(
        BACKEND.load(convolutional_branches()), Target(shapes={"image": (2, 3, 8, 8)})
    )

    assert graph.group_by_id["last"].macs == 2 * 64 * 4 * 8 * 9
    assert BACKEND.graph(BACKEND.load(convolutional_branches()), TARGET).macs > 0
