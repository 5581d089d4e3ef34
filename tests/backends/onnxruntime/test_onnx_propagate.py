import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto, helper
from onnx_case import BACKEND

from octavo.target import Target


def shapes_of(b, output, inputs=None, **sizes):
    proto = b.ending(output, **(inputs or {"rows": ["batch", "length", 16]}))
    tensors = BACKEND.graph(BACKEND.load(proto), Target(shapes=sizes)).tensors
    return {name: tensor.shape for name, tensor in tensors.items()}


def sizes_of(b, value, *axes):
    """Add what exporters write to take single sizes of a value: Shape, Gather, Unsqueeze."""
    shape = b.node("Shape", [value], "shape")
    found = []
    for axis in axes:
        index = b.weight(f"index{axis}", np.array(axis))
        size = b.node("Gather", [shape, index], f"size{axis}")
        zero = b.weight(f"zero{axis}", np.array([0]))
        found.append(b.node("Unsqueeze", [size, zero], f"row{axis}"))
    return found


def test_a_reshape_to_sizes_that_are_computed():
    b = Builder()
    batch, length = sizes_of(b, "rows", 0, 1)
    heads, rest = b.weight("heads", np.array([4])), b.weight("rest", np.array([-1]))
    target = b.node("Concat", [batch, length, heads, rest], "target", axis=0)
    y = b.node("Reshape", ["rows", target], "split")

    assert shapes_of(b, y, rows=(3, 5, 16))["split_out"] == (3, 5, 4, 4)


def test_sizes_that_are_divided_and_rounded():
    b = Builder()
    (length,) = sizes_of(b, "rows", 1)
    two = b.weight("two", np.array([2]))
    halves = b.node("Concat", [two, b.node("Div", [length, two], "half")], "halves", axis=0)
    ends = b.node("Slice", ["rows", b.weight("from", np.array([0, 0])), halves,
                            b.weight("axes", np.array([0, 1]))], "cut")  # fmt: skip

    assert shapes_of(b, ends, rows=(4, 7, 16))["cut_out"] == (2, 3, 16)


def test_shapes_behind_a_computed_one_are_found_too():
    b = Builder()
    (batch,) = sizes_of(b, "rows", 0)
    rest = b.weight("rest", np.array([-1]))
    flat = b.node("Reshape", ["rows", b.node("Concat", [batch, rest], "t", axis=0)], "flat")
    y = b.gemm(flat, "head", 32, 4)

    assert shapes_of(b, y, rows=(3, 2, 16))["head_out"] == (3, 4)


@pytest.mark.parametrize(("start", "end", "expected"), [(0, None, 3), (1, None, 2), (-2, -1, 1)])
def test_a_part_of_a_shape(start, end, expected):
    b = Builder()
    ends = {} if end is None else {"end": end}
    shape = b.node("Shape", ["rows"], "shape", start=start, **ends)
    y = b.node("ConstantOfShape", [shape], "filled")

    assert len(shapes_of(b, y, rows=(3, 2, 4))["filled_out"]) == expected


def test_what_depends_on_values_stays_unknown():
    b = Builder()
    y = b.node("NonZero", ["rows"], "found")
    flat = b.node("Reshape", [y, b.node("Shape", [y], "shape")], "again")

    assert shapes_of(b, flat, rows=(3, 2, 4))["again_out"] in (None, (None, None))


def test_a_division_by_zero_leaves_the_shape_unknown():
    b = Builder()
    (batch,) = sizes_of(b, "rows", 0)
    broken = b.node("Div", [batch, b.weight("none", np.array([0]))], "broken")
    y = b.node("Expand", [b.weight("one", np.float32(1)), broken], "filled")

    assert shapes_of(b, y, rows=(3, 2, 4))["filled_out"] in (None, (None,))


def test_a_large_value_is_not_computed():
    b = Builder()
    (length,) = sizes_of(b, "rows", 1)
    y = b.node("ConstantOfShape", [length], "filled")

    assert shapes_of(b, y, rows=(1, 10**9, 16))["filled_out"] == (10**9,)


def test_an_operator_that_onnx_does_not_know_stays_unknown():
    b = Builder()
    (batch,) = sizes_of(b, "rows", 0)
    b.nodes.append(helper.make_node("Own", ["rows"], ["own"], "own", domain="com.example"))
    y = b.node("Expand", ["own", batch], "last")
    graph = helper.make_graph(
        b.nodes,
        "network",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
        b.weights,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    model = BACKEND.load(helper.make_model(graph, opset_imports=opsets, ir_version=9))

    assert BACKEND.graph(model, Target(shapes={"rows": (3,)})).tensors["own"].shape is None


def sliced(size):
    """Return the shapes behind a convolution of size 3 and a Slice, for pictures of `size`."""
    b = Builder()
    x = b.node("Conv", ["image", b.random("w", 4, 3, 3, 3)], "conv")
    limits = [b.weight(f"s{i}", np.array([value])) for i, value in enumerate((0, 2, 3))]
    y = b.node("Relu", [b.node("Slice", [x, *limits], "slice")], "relu")
    inputs = {"image": ["batch", 3, "height", "width"]}
    given = {"image": (1, 3, size, size)} if size else {}
    return shapes_of(b, y, inputs, **given)


def test_a_slice_of_less_than_nothing_does_not_end_the_process():
    """onnx 1.23 aborts at it, which no `except` catches: the test run itself would end."""
    assert sliced(8)["relu_out"] == (1, 4, 6, 2)
    assert sliced(2)["relu_out"] == (1, 4, 0, 0)
    for size in (None, 1):  # None: free dimensions are taken as 1
        found = sliced(size)
        assert found["image"] == (1, 3, 1, 1)
        assert found["conv_out"] is None
        assert None in (found["relu_out"] or (None,))
