"""Kernels belong to groups, whatever ONNX Runtime fuses and renames, and take their usual time."""

from dataclasses import replace

import pytest
from networks import convnet
from onnx_case import BACKEND, TARGET, Case, all_static, noise

from octavo.backends.onnxruntime.audit import BORDERS
from octavo.backends.onnxruntime.run import _kernels

MODEL = BACKEND.load(convnet(64, 32, 1))
BATCH = {"image": noise(1, 3, 64, 64)}
HERE = replace(TARGET, shapes={"image": (1, 3, 64, 64)})
GRAPH = BACKEND.graph(MODEL, HERE)
CONVOLUTIONS = [group.id for group in GRAPH.groups if group.kind == "conv"]
KEPT = {
    "nothing": [],
    "everything": [group.id for group in GRAPH.groups],
    "some": ["stem", "left", "right", "depthwise"],
    "others": ["expand", "residual", "project"],
}
ALIGNED = frozenset({"Sum", "Pad"})
"""Octavo's own copies in front of quantizers, and channels made a multiple of four: borders too."""


def profiled(kept):
    case = Case(MODEL, all_static(GRAPH, *KEPT[kept]), BATCH, HERE)
    return BACKEND.profile(MODEL, case.built, BATCH, HERE)


@pytest.mark.parametrize("kept", KEPT)
def test_the_time_of_kernels_that_compute_belongs_to_groups(kept):
    computing = [one for one in profiled(kept) if one.kernel not in BORDERS | ALIGNED]
    whole = sum(one.seconds for one in computing)
    assert sum(one.seconds for one in computing if one.groups) >= 0.95 * whole > 0


@pytest.mark.parametrize("kept", ["nothing", "some", "others"])
def test_borders_belong_to_no_group(kept):
    borders = [one for one in profiled(kept) if one.kernel in BORDERS]
    assert borders
    assert not any(one.groups for one in borders)


@pytest.mark.parametrize("kept", KEPT)
def test_every_convolution_has_one_kernel_of_its_precision(kept):
    """Those in float run in blocked layout, where ONNX Runtime gives nodes names of its own."""
    found = [one for one in profiled(kept) if one.kernel in ("Conv", "FusedConv", "QLinearConv")]
    owners = {name: one.kernel for one in found for name in one.groups}
    assert sum(len(one.groups) for one in found if set(one.groups) & set(CONVOLUTIONS)) == len(
        CONVOLUTIONS
    )
    for name in CONVOLUTIONS:
        assert (owners[name] == "QLinearConv") == (name not in KEPT[kept])


def event(duration, name="conv"):
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "dur": duration,
        "args": {"op_name": "Conv", "output_type_shape": [{"float": [1, 8]}]},
    }


def test_a_kernel_takes_its_median_without_the_first_run():
    (kernel,) = _kernels([event(one) for one in (900, 10, 12, 11, 500, 11)], {"conv": ("y",)}, 5)
    assert kernel.seconds == pytest.approx(11e-6)
    assert (kernel.kind, kernel.outputs, kernel.values) == ("Conv", ("float",), ("y",))


def test_a_kernel_that_runs_several_times_a_run_counts_all_of_them():
    """Three turns of a loop in each of one run to warm up and four others, one disturbed."""
    runs = [(90, 90, 90), (1, 2, 3), (1, 2, 4), (1, 2, 3), (80, 2, 3)]
    (kernel,) = _kernels([event(one) for run in runs for one in run], {}, 4)
    assert kernel.seconds == pytest.approx(6.5e-6)


def test_other_events_are_no_kernels():
    others = [
        {"cat": "Session", "name": "model_run", "dur": 5, "args": {}},
        {"cat": "Node", "name": "conv_fence_before", "dur": 5, "args": {}},
    ]
    assert [one.node for one in _kernels([*others, event(3), event(3)], {}, 1)] == ["conv"]
