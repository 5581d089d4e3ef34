"""Channels that integer convolutions are fast at: added where nothing else sees them."""

import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import BACKEND, Case, all_static, images, noise, planned_case, run, static_case

from octavo.backends.onnxruntime import rewrite
from octavo.backends.onnxruntime.align import remembered
from octavo.backends.onnxruntime.load import native
from octavo.plan import Plan
from octavo.target import Cpu, Target

ARM = Target(threads=1, cpu=Cpu("arm", "aarch64", frozenset({"asimddp"}), 2))


def relu(b, x, name):
    return b.node("Relu", [x], name)


def squeeze_excite(b, x, name, channels):
    y = b.node("GlobalAveragePool", [x], f"{name}_pool")
    y = relu(b, b.conv(y, f"{name}_down", channels, 8, k=1), f"{name}_r")
    y = b.node("Sigmoid", [b.conv(y, f"{name}_up", 8, channels, k=1)], f"{name}_gate")
    return b.node("Mul", [y, x], f"{name}_mul")


def block(b, x, channels, between=relu):
    """An inverted residual whose middle has `channels`."""
    y = relu(b, b.conv(x, "expand", 4, channels, k=1), "expand_r")
    y = between(b, b.conv(y, "depthwise", channels, channels, group=channels), "middle")
    return b.conv(y, "project", channels, 4, k=1)


BETWEEN = {
    "relu": relu,
    "bounds": lambda b, x, name: b.relu6(x, name),
    "factors": lambda b, x, name: relu(
        b, b.node("Mul", [relu(b, x, f"{name}_a"), b.random("f", 24, 1, 1)], f"{name}_f"), name
    ),
    "squeeze and excite": lambda b, x, name: squeeze_excite(b, relu(b, x, f"{name}_a"), name, 24),
    "residual": lambda b, x, name: relu(b, b.node("Add", ["expand_r_out", x], f"{name}_sum"), name),
    "pool": lambda b, x, name: b.node(
        "MaxPool", [relu(b, x, f"{name}_a")], name, kernel_shape=[2, 2]
    ),
}


def network(channels=24, between=relu, *shown):
    b = Builder()
    y = block(b, b.conv("image", "stem", 3, 4, k=1), channels, between)
    return b.ending(y, *shown, image=["batch", 3, 8, 8])


def unaligned(case):
    """Return the outputs of the same INT8 model whose channels are not padded."""
    return run(rewrite.build(case.model, case.graph, case.plan, case.ranges), case.batch)


def weights(case):
    return {
        n: tuple(v.shape.numpy())
        for n, v in native(case.built).canonical.graph.initializers.items()
    }


@pytest.mark.parametrize("between", BETWEEN)
def test_a_depthwise_convolution_gets_channels_by_sixteen(between):
    case = planned_case(network(24, BETWEEN[between]), images(2))
    (output,) = case.graph.outputs

    assert [s for n, s in weights(case).items() if n.startswith("depthwise") and len(s) == 4] == [
        (32, 1, 3, 3)
    ]
    assert case.failures == {}
    np.testing.assert_allclose(case.int8_outputs[output], unaligned(case)[output], atol=1e-5)


@pytest.mark.parametrize("channels", [16, 32, 8])
def test_what_is_aligned_or_too_narrow_stays(channels):
    case = planned_case(network(channels), images(2))

    assert (channels, 1, 3, 3) in weights(case).values()
    assert remembered(native(case.built).canonical) == {}


def concatenated(b, x, name):
    return b.node("Concat", [relu(b, x, f"{name}_a"), "expand_r_out"], name, axis=1)


def test_channels_that_something_else_sees_stay():
    shown = planned_case(network(24, relu, "expand_r_out"), images(2))
    b = Builder()
    y = relu(b, b.conv(b.conv("image", "stem", 3, 4, k=1), "expand", 4, 24, k=1), "expand_r")
    y = concatenated(b, b.conv(y, "depthwise", 24, 24, group=24), "join")
    joined = planned_case(b.ending(b.conv(y, "project", 48, 4), image=["n", 3, 8, 8]), images(2))

    for case in (shown, joined):
        assert (24, 1, 3, 3) in weights(case).values()
        assert case.failures == {}


def test_channels_that_a_body_reads_stay():
    b = Builder()
    y = block(b, b.conv("image", "stem", 3, 4, k=1), 24)
    weight, on = b.random("w", 4, 24, 1, 1), b.weight("on", np.array(True))
    bodies = {
        name: helper.make_graph(
            [helper.make_node("Conv", ["expand_r_out", weight], [f"{name}_y"], f"{name}_conv")],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)],
        )
        for name in ("then_branch", "else_branch")
    }
    b.nodes.append(helper.make_node("If", [on], ["chosen"], "branch", **bodies))
    case = planned_case(b.ending(y, "chosen", image=["n", 3, 8, 8]), images(2))

    assert (24, 1, 3, 3) in weights(case).values()
    assert remembered(native(case.built).canonical) == {}
    assert case.sqnr("chosen") >= 30


def test_nothing_is_padded_for_another_architecture():
    case = static_case(network(), images(2), target=ARM)

    assert case.plan.format("depthwise").compute == "int8"
    assert {(24, 1, 3, 3), (4, 3, 1, 1)} <= set(weights(case).values())
    assert remembered(native(case.built).canonical) == {}


def test_a_depthwise_convolution_in_float_stays():
    model = BACKEND.load(network())
    plan = all_static(BACKEND.graph(model, Target(threads=1)), "depthwise")
    case = Case(model, plan, images(2))

    assert (24, 1, 3, 3) in weights(case).values()


def test_a_weight_that_others_share_keeps_its_shape_for_them():
    b = Builder()
    y = block(b, b.conv("image", "stem", 3, 4, k=1), 24)
    other = b.node("Conv", [y, "expand_w", "expand_b"], "again", kernel_shape=[1, 1])
    case = planned_case(b.ending(other, image=["n", 3, 8, 8]), images(2))

    assert case.failures == {}
    assert case.int8_outputs[case.graph.outputs[0]].shape == (2, 24, 8, 8)


def test_the_added_channels_are_not_shown_to_observers():
    case = planned_case(network(), images(2))
    seen = {}

    class Eye:
        tensors = ("expand_r_out", "middle_out")

        def update(self, tensor, values):
            seen[tensor] = values.copy()

    BACKEND.observe(case.built, [case.batch], Eye(), case.target)

    assert {name: values.shape for name, values in seen.items()} == {
        "expand_r_out": (2, 24, 8, 8),
        "middle_out": (2, 24, 8, 8),
    }


@pytest.mark.parametrize(
    ("channels", "kernel", "wanted"), [(3, 3, 4), (1, 3, 4), (6, 3, 8), (3, 1, 3), (4, 3, 4)]
)
def test_an_image_gets_channels_by_four_for_kernels_beyond_one(channels, kernel, wanted):
    b = Builder()
    y = relu(b, b.conv("image", "stem", channels, 8, k=kernel), "stem_r")
    proto = b.ending(b.conv(y, "next", 8, 8, k=1), image=["n", channels, 8, 8])
    case = static_case(proto, {"image": noise(2, channels, 8, 8)})
    (output,) = case.graph.outputs

    assert (8, wanted, kernel, kernel) in weights(case).values()
    assert case.failures == {}
    np.testing.assert_array_equal(case.int8_outputs[output], unaligned(case)[output])


def test_an_image_of_free_size_that_two_read_is_padded_for_each():
    b = Builder()
    first, second = b.conv("image", "first", 3, 8), b.conv("image", "second", 3, 8, k=5)
    y = b.node("Add", [first, second], "sum")
    proto = b.ending(y, image=["n", 3, "height", "width"])
    case = static_case(proto, images(2))

    assert case.failures == {}
    assert case.steps_from_reference(y) <= 1


def test_nothing_is_padded_where_nothing_is_quantized():
    model = BACKEND.load(network())

    assert (24, 1, 3, 3) in weights(Case(model, Plan(), images(2))).values()
