"""What OpenVINO computes wrongly, or in float, without the mends of the backend.

Each network is run without its mend too: the test that fails then tells that a mend is needed no
more by the OpenVINO that is installed.
"""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_case
import pytest
from networks import Builder, convnet
from onnx_case import (
    TARGET,
    canonical,
    constants,
    images,
    noise,
    rows,
    run,
    written,
)
from openvino_case import (
    BACKEND,
    executed_unmended,
    int8_case,
    kernels,
    kinds,
    relative_error,
    run_unmended,
    unmended,
)

from octavo.backends.onnxruntime.load import native, wrap
from octavo.backends.openvino.biases import ALMOST_NOTHING
from octavo.backends.openvino.mend import mended
from octavo.errors import ModelError
from octavo.target import Target

RIGHT = 1e-4  # relative to the reference
WRONG = 0.05
ONE_KERNEL = TARGET.cpu.has_vnni  # OpenVINO joins INT8 products into one kernel, with VNNI only


def padded_pool(b, x, ceil_mode=0):
    return b.node("AveragePool", [x], "op", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
                  count_include_pad=1, ceil_mode=ceil_mode)  # fmt: skip


def pooled(ceil_mode=0):
    b = Builder()
    y = padded_pool(b, b.conv("image", "first", 3, 8), ceil_mode)
    return b.ending(b.conv(y, "last", 8, 8), image=["batch", 3, 8, 8])


def chain(op, bias=None, activation=None, width=8):
    """Return products of rows in a chain, each with a bias of equal numbers where one is given."""
    b, x = Builder(), "rows"
    for i, (given, made) in enumerate(((16, width), (width, width))):
        operands = [x, b.random(f"w{i}", given, made, scale=given**-0.5)]
        level = [] if bias is None else [b.weight(f"b{i}", np.full(made, bias, np.float32))]
        if op == "Gemm":
            x = b.node("Gemm", [*operands, *level], f"g{i}")
        else:
            x = b.node("MatMul", operands, f"g{i}")
            x = b.node("Add", [x, *level], f"a{i}") if level else x
        x = b.node(activation, [x], f"r{i}") if activation and i == 0 else x
    return b.ending(x, rows=["batch", 16])


def extreme(op, features, **attributes):
    b = Builder()
    x = b.node("Elu", [b.conv("image", "first", 3, 8)], "elu")
    x = b.node("Flatten", [b.node(op, [x], "op", **attributes)], "flat")
    return b.ending(b.gemm(x, "head", features, 6), image=["batch", 3, 8, 8])


def stepping(rank=2, activation=None, twice=False):
    """Return a convolution of size 1 that steps over values, behind one that does not."""
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    x = b.node(activation, [x], "act") if activation else x
    shape = {1: (64,), 2: (8, 8), 3: (4, 4, 4)}[rank]
    x = x if rank == 2 else b.reshape(x, "shaped", 0, 8, *shape)
    weight = b.random("op_w", 4, 8, *[1] * rank, scale=0.3)
    made = [b.node("Conv", [x, weight], "op", strides=[2] * rank)]
    if twice:
        other = b.random("other_w", 4, 8, *[1] * rank, scale=0.3)
        made.append(b.node("Conv", [x, other], "other", strides=[2] * rank))
    return b.ending(*made, image=["batch", 3, 8, 8])


def padded(value=None, axis=2, behind="Conv"):
    """Return a Pad by a number behind a convolution, or by zeros behind a product of one column."""
    b = Builder()
    if behind == "Conv":
        x = b.conv("image", "first", 3, 8)
    else:
        x = b.node("MatMul", ["image", b.random("w", 8, 1)], "first")
    pads = np.zeros((2, 4), np.int64)
    pads[:, axis] = 1
    given = [b.weight("pads", pads.reshape(-1))]
    given += [b.weight("value", np.float32(value))] if value is not None else []
    x = b.node("Pad", [x, *given], "op")
    return b.ending(x, image=["batch", 3, 8, 8])


def padded_column(columns=1, activation=None, width=8, pad=3):
    """Return a Pad by zeros along an axis, behind columns of a convolution in INT8."""
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    x = b.node(activation, [x], "act") if activation else x
    bounds = [b.weight(n, np.array([v])) for n, v in (("from", 0), ("to", columns), ("axis", 3))]
    x = b.node("Slice", [x, *bounds], "columns")
    pads = np.zeros(8, np.int64)
    pads[4 + pad] = 1
    x = b.node("Pad", [x, b.weight("pads", pads)], "op")
    return b.ending(x, image=["batch", 3, 8, width])


def averaged(op, axes=(2,), width=4):
    """Return a mean or a sum of channels that are scaled in float, beside a quantized product."""
    b = Builder()
    channels = b.reshape("rows", "channels", 0, 16 // width, width)
    scaled = b.node("Mul", [channels, b.random("factors", 16 // width, 1)], "scaled")
    given = [scaled, b.weight("axes", np.array(axes))] if op == "ReduceSum" else [scaled]
    over = {"axes": list(axes)} if op == "ReduceMean" else {}
    x = b.node("Tanh", [b.node(op, given, "op", **over)], "act")
    return b.ending(x, b.gemm("rows", "product", 16, 5), rows=["batch", 16])


WRONGLY_COMPUTED = {
    "padding that counts": (pooled, images),
    "padding that counts, rounded up": (lambda: pooled(1), images),
    "gemms without bias": (lambda: chain("Gemm"), rows),
    "gemms without bias, one row": (lambda: chain("Gemm"), lambda: rows(1)),
    "gemms without bias, activated": (lambda: chain("Gemm", activation="Relu"), rows),
    "matmuls without bias": (lambda: chain("MatMul"), rows),
    "matmuls of a bias of equal numbers": (lambda: chain("MatMul", 0.5), rows),
    "padding by a number": (lambda: padded(0.5), images),
    "padding channels by a number": (lambda: padded(0.5, 1), images),
    "padding a product of one column": (lambda: padded(axis=3, behind="MatMul"), images),
    "padding one column by zeros": (padded_column, images),
    "padding one of a free number of columns": (lambda: padded_column(width="free"), images),
    "a mean of scaled channels": (lambda: averaged("ReduceMean"), rows),
    "a sum of scaled channels": (lambda: averaged("ReduceSum"), rows),
    "a global average of scaled channels": (lambda: averaged("GlobalAveragePool"), rows),
    "a mean of samples": (lambda: averaged("ReduceMean", axes=(0,)), rows),
    "global maximum": (lambda: extreme("GlobalMaxPool", 8), images),
    "maximum over space": (lambda: extreme("ReduceMax", 8, axes=[2, 3]), images),
    "minimum over space": (lambda: extreme("ReduceMin", 8, axes=[2, 3]), images),
    "maximum of channels": (lambda: extreme("ReduceMax", 64, axes=[1]), images),
}  # fmt: skip
SEEN_WITHOUT_VNNI = frozenset(
    name
    for name in WRONGLY_COMPUTED
    if name.endswith(("column by zeros", "number of columns", "scaled channels", "of samples"))
)
JOINED = frozenset(name for name in WRONGLY_COMPUTED if name.startswith(("gemms", "matmuls")))
STEPPING = {
    "one": stepping,
    "one, activated": lambda: stepping(activation="Relu"),
    "two": lambda: stepping(twice=True),
    "on a line": lambda: stepping(1),
    "in three dimensions": lambda: stepping(3),
}


def farthest(expected, found):
    return max(relative_error(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("name", WRONGLY_COMPUTED)
def test_only_the_mended_int8_model_is_right(name, monkeypatch):
    write, batch = WRONGLY_COMPUTED[name]
    case = int8_case(write(), batch(), "op", "scaled")

    assert farthest(case.reference_outputs, case.int8_outputs) < RIGHT
    distance = farthest(
        case.reference_outputs, run_unmended(unmended(case), case.batch, monkeypatch)
    )
    if name in JOINED and not ONE_KERNEL:
        assert distance < RIGHT
    elif not (name in SEEN_WITHOUT_VNNI and ONE_KERNEL):
        assert distance > WRONG


def test_only_the_mended_model_compiles_that_pads_by_a_negative_number(monkeypatch):
    case = int8_case(padded(-1.0), images())

    assert farthest(case.reference_outputs, case.int8_outputs) < RIGHT
    with pytest.raises(ModelError, match="PadTransformation"):
        run_unmended(unmended(case), case.batch, monkeypatch)


@pytest.mark.parametrize(
    "write",
    [
        lambda: padded_column(2),
        lambda: padded_column(pad=2),
        lambda: padded_column(activation="Relu"),
    ],
    ids=["two columns", "rows", "without a zero point"],
)
def test_zeros_are_padded_as_integers_where_that_is_right(write):
    case = int8_case(write(), images(), "op")

    assert not any(node.name == "op.kept" for node in case.nodes)
    assert farthest(case.reference_outputs, case.int8_outputs) < RIGHT


@pytest.mark.parametrize(
    "pool, scaled", [("MaxPool", False), ("AveragePool", False), ("AveragePool", True)]
)
def test_only_the_mended_model_compiles_that_pools_the_columns_of_a_product(
    pool, scaled, monkeypatch
):
    b = Builder()
    x = b.node("MatMul", ["image", b.random("w", 1, 8, 3, scale=0.3)], "product")
    x = b.node("Mul", [x, b.random("factor", 3)], "scaled") if scaled else x
    y = b.node(pool, [x], "op", kernel_shape=[1, 2], strides=[1, 1])
    kept = ("op", "scaled") if scaled else ("op",)
    case = int8_case(b.ending(y, image=["batch", 3, 8, 8]), images(), *kept)

    assert farthest(case.reference_outputs, case.int8_outputs) < RIGHT
    assert case.audit["product"].executed == "int8"
    with pytest.raises(ModelError, match="PoolTransformation"):
        run_unmended(unmended(case), case.batch, monkeypatch)


@pytest.mark.parametrize("name", WRONGLY_COMPUTED)
def test_a_mend_keeps_what_a_model_computes(name):
    """ONNX Runtime runs both forms of the INT8 model as they are written."""
    write, batch = WRONGLY_COMPUTED[name]
    case = int8_case(write(), batch(), "op", "scaled")
    before = replace(unmended(case), optimize=False)
    after = wrap(mended(native(before).original), before)

    expected, found = (run(model, case.batch) for model in (before, after))

    assert native(after).original is not native(before).original
    assert farthest(expected, found) < RIGHT


def read_twice(*readers):
    """Return a network in which several operators read one weight: of 3x3, or a matrix of 5x5."""
    b, made = Builder(), []
    convs = "Conv" in readers[0]
    x = "image" if convs else "rows"
    weight = b.random("w", 3, 3, 3, 3, scale=0.2) if convs else b.random("w", 5, 5, scale=0.4)
    for index, reader in enumerate(readers):
        op, _, way = reader.partition(" ")
        read = b.node("Transpose", [weight], f"turn{index}", perm=[1, 0]) if way else weight
        turned = {"transB": 1} if op == "GemmT" else {}
        made.append(
            b.node(op.removesuffix("T") if turned else op, [x, read], f"op{index}", **turned)
        )
    shape = [3, 8, 8] if convs else [5]
    return b.ending(*made, **{x: ["batch", *shape]})


READ_TWICE = [
    ("Conv", "ConvTranspose"),
    ("ConvTranspose", "Conv"),
    ("Gemm", "GemmT"),
    ("GemmT", "MatMul"),
    ("MatMul", "MatMul turned"),
    ("GemmT turned", "GemmT"),
    ("Conv", "Conv", "ConvTranspose"),
]


def read_batch(readers):
    return images() if "Conv" in readers[0] else rows(width=5)


@pytest.mark.parametrize(
    ("readers", "opset"), [*((readers, 17) for readers in READ_TWICE), (READ_TWICE[0], 9)]
)
def test_only_the_mended_float_model_is_right_whose_weight_is_read_in_two_ways(
    readers, opset, monkeypatch
):
    proto = read_twice(*readers)
    proto.opset_import[0].version = opset
    model, batch = BACKEND.load(proto), read_batch(readers)
    expected = run(model, batch)

    assert farthest(expected, run(model, batch, BACKEND)) < 1e-6
    assert farthest(expected, run_unmended(model, batch, monkeypatch)) > WRONG


@pytest.mark.parametrize("readers", READ_TWICE, ids=" and ".join)
def test_a_copy_of_a_weight_keeps_what_a_model_computes(readers):
    before, batch = BACKEND.load(read_twice(*readers)), read_batch(readers)
    graph = mended(native(before).original)

    assert farthest(run(before, batch), run(wrap(graph, before), batch)) < 1e-6
    assert mended(graph) is graph


@pytest.mark.parametrize(
    "readers", [("Conv", "Conv"), ("Gemm", "MatMul"), ("GemmT", "MatMul turned")]
)
def test_a_weight_that_is_read_in_one_way_is_left_alone(readers):
    graph = native(BACKEND.load(read_twice(*readers))).original

    assert mended(graph) is graph


def test_only_the_mended_float_pool_is_right_that_rounds_up(monkeypatch):
    model, batch = BACKEND.load(pooled(1)), images()
    expected = run(model, batch)

    assert farthest(expected, run(model, batch, BACKEND)) < 1e-6
    assert farthest(expected, run_unmended(model, batch, monkeypatch)) > WRONG


@pytest.mark.parametrize("threads", [1, 2])
def test_products_are_right_in_shapes_that_are_not_fixed(threads):
    case = int8_case(chain("Gemm"), rows())
    session = BACKEND.open(case.built, Target(threads=threads))
    session.run(rows(1))

    assert farthest(case.reference_outputs, session.run(rows())) < RIGHT


@pytest.mark.parametrize("name", STEPPING)
def test_only_the_mended_convolution_of_size_1_executes_in_int8(name, monkeypatch):
    case = int8_case(STEPPING[name](), images())
    assert case.failures == {}
    assert "Pooling" in [kernel.kind for kernel in kernels(case.built, case.batch)]
    assert max(map(case.steps_from_reference, case.float_outputs)) <= 1.001

    broken = executed_unmended(case, monkeypatch)
    assert broken.compute(case.graph.group_by_id["op"]) == "fp32"


def test_a_convolution_of_size_1_is_left_alone_where_others_need_all_values():
    b = Builder()
    x = b.conv("image", "first", 3, 8)
    y = b.node("Conv", [x, b.random("op_w", 4, 8, 1, 1)], "op", strides=[2, 2])
    proto = b.ending(y, b.conv(x, "all", 8, 8), image=["batch", 3, 8, 8])

    case = int8_case(proto, images())

    assert "MaxPool" not in [node.op_type for node in case.nodes]
    assert case.failures == {}


def test_a_float_convolution_of_size_1_is_left_alone():
    model = BACKEND.load(stepping())

    assert mended(native(model).original) is native(model).original


def test_a_model_without_anything_to_mend_stays_the_same_object():
    case = int8_case(convnet(8), images())
    graph = native(case.built).original

    assert "QuantizeLinear" in kinds(graph)
    assert mended(graph) is graph


def test_mending_twice_is_mending_once():
    for write, batch in WRONGLY_COMPUTED.values():
        once = native(int8_case(write(), batch(), "op", "scaled").built).original

        assert mended(once) is once


def test_a_bias_that_differs_by_column_is_left_alone():
    b = Builder()
    x = b.gemm("rows", "first", 16, 8)
    case = int8_case(b.ending(b.gemm(x, "second", 8, 8), rows=["batch", 16]), rows())

    assert not any(name.endswith(".varied") for name in constants(case.built))


def test_a_bias_is_varied_by_less_than_a_float_can_tell():
    zero = constants(int8_case(chain("MatMul"), rows()).built)
    half = constants(int8_case(chain("MatMul", 0.5), rows()).built)

    assert max(np.abs(zero["g0.varied"])) <= 8.01 * ALMOST_NOTHING
    assert len(np.unique(zero["g0.varied"])) == 8
    np.testing.assert_allclose(half["g0.varied"], 0.5, rtol=2e-7)


def test_the_model_that_was_given_is_not_changed():
    model = BACKEND.load(pooled(1))
    before = written(model).SerializeToString()

    BACKEND.open(model, TARGET).run({"image": noise(1, 3, 8, 8)})

    assert written(model).SerializeToString() == before
    assert "Pad" not in [node.op_type for node in canonical(model)]


CRASHES = """
import sys
sys.path[:0] = {folders}
import test_openvino_mend
from onnx_case import images, written
from openvino_case import int8_case, unmended
import openvino
case = int8_case(test_openvino_mend.still({axis}), images())
model = openvino.Core().read_model(written(unmended(case)).SerializeToString())
openvino.Core().compile_model(model, "CPU")
"""


def still(axis):
    """Return a Concat behind which a Transpose moves nothing, between quantizers."""
    b = Builder()
    parts = [b.conv("image", name, 3, 8) for name in ("left", "right")]
    x = b.node("Concat", parts, "join", axis=axis)
    x = b.node("Transpose", [x], "still", perm=[0, 1, 2, 3])
    return b.ending(x, image=["batch", 3, 8, 8])


@pytest.mark.parametrize("axis", [1, 2])
def test_only_the_mended_model_does_not_crash_whose_join_is_quantized_twice(axis):
    case = int8_case(still(axis), images())
    assert farthest(case.reference_outputs, case.int8_outputs) < RIGHT

    folders = [str(Path(__file__).parent), str(Path(onnx_case.__file__).parent)]
    script = CRASHES.format(folders=folders, axis=axis)
    crashed = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert crashed.returncode == -signal.SIGSEGV, crashed.stderr
