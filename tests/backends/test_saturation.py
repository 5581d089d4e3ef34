"""Sums of the largest products there are: right on the processor that runs the tests.

Without VNNI pairs of products are summed in 16 bits, which those of full-range weights overflow.
"""

import numpy as np
import pytest
from networks import Builder
from onnx_case import TARGET, VNNI, Case, planned_case, static_case

from octavo.backends.registry import ENTRIES, get_backend
from octavo.plan import Plan

CHANNELS = 32
RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(ENTRIES[name].missing), reason="missing"))
    for name in ("onnxruntime", "openvino")
]


def extremes(*shape, low=-1.0, seed=0):
    """Return ones, and every tenth time or so `low`: in INT8 nothing but ends of the range."""
    ones = np.random.default_rng(seed).random(shape) < 0.9
    return np.where(ones, 1.0, low).astype(np.float32)


def conv(*shape, op="Conv", **attributes):
    """Return a network of one convolution of an image with `CHANNELS` channels."""
    b = Builder()
    y = b.node(op, ["image", b.weight("w", extremes(*shape))], "op", **attributes)
    return b.ending(y, image=["batch", CHANNELS, 8, 8])


def product(op="MatMul", joined=False):
    """Return a network of one product of a matrix, which may be joined from its halves."""
    b, x = Builder(), "rows"
    if joined:
        parts = b.add("Split", [x], ["left", "right"], "split", axis=1)
        x = b.node("Concat", parts, "join", axis=1)
    return b.ending(
        b.node(op, [x, b.weight("w", extremes(CHANNELS, 16))], "op"), rows=["batch", CHANNELS]
    )


def two_tensors():
    b = Builder()
    return b.ending(
        b.node("MatMul", ["image", "other"], "op"),
        image=["batch", CHANNELS, 8, 8],
        other=["batch", CHANNELS, 8, 8],
    )


def lstm():
    b = Builder()
    weights = [b.weight(n, 0.02 * extremes(1, 64, k)) for n, k in (("W", CHANNELS), ("R", 16))]
    b.add("LSTM", ["steps", *weights], ["y"], "op", hidden_size=16)
    return b.ending("y", steps=["steps", "batch", CHANNELS])


NETWORKS = {
    "conv": lambda: conv(16, CHANNELS, 3, 3),
    "conv of size 1": lambda: conv(16, CHANNELS, 1, 1),
    "conv in groups": lambda: conv(CHANNELS, 8, 3, 3, group=4),
    "depthwise": lambda: conv(CHANNELS, 1, 3, 3, group=CHANNELS),
    "transposed": lambda: conv(CHANNELS, 16, 3, 3, op="ConvTranspose", strides=[2, 2]),
    "matmul": product,
    "matmul of joined rows": lambda: product(joined=True),
    "gemm": lambda: product("Gemm"),
    "two tensors": two_tensors,
}
STEP = 2.001 / 255  # relative to the largest value, of a range that may hold both signs
WRONG = 0.05
BATCH = {
    "image": extremes(2, CHANNELS, 8, 8, low=0.0),
    "other": extremes(2, CHANNELS, 8, 8, seed=1),
    "rows": extremes(4, CHANNELS, low=0.0),
    "steps": extremes(3, 2, CHANNELS, low=0.0),
}
EXACT_ANYWAY = {"depthwise", "two tensors"}
"""What is summed in 32 bits everywhere, and what has no weight."""


def batch_of(proto):
    return {value.name: BATCH[value.name] for value in proto.graph.input}


def distance(case):
    """Return how far INT8 is from float, whose values it has integers for, of the largest value."""
    return max(
        float(np.abs(case.int8_outputs[name] - wanted).max() / np.abs(wanted).max())
        for name, wanted in case.float_outputs.items()
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_largest_sums_are_right(name, runtime):
    proto = NETWORKS[name]()
    case = static_case(proto, batch_of(proto), backend=get_backend(runtime))

    assert case.failures == {}
    assert distance(case) <= STEP


@pytest.mark.skipif(not TARGET.cpu.saturates, reason="full-range weights are right here")
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in EXACT_ANYWAY])
def test_full_range_weights_saturate(name, runtime):
    """What is tested above is a danger: in 8 bits the same networks are wrong."""
    proto = NETWORKS[name]()
    case = static_case(proto, batch_of(proto), target=VNNI, backend=get_backend(runtime))

    assert distance(case) > WRONG


def dynamic_case(proto, target=TARGET):
    case = planned_case(proto, batch_of(proto))
    graph = case.backend.graph(case.model, target)
    (group,) = graph.groups
    (wanted, *_) = (form for form in group.formats if form.compute == "int8_dynamic")
    return Case(case.model, Plan({group.id: wanted}), case.batch, target)


DYNAMIC = {"matmul": product, "gemm": lambda: product("Gemm"), "lstm": lstm}


@pytest.mark.parametrize("name", DYNAMIC)
def test_the_largest_sums_are_right_in_dynamic_quantization(name):
    case = dynamic_case(DYNAMIC[name]())

    assert case.failures == {}
    assert distance(case) <= STEP
    if TARGET.cpu.saturates:
        assert distance(dynamic_case(DYNAMIC[name](), VNNI)) > WRONG
