"""What the tests of the OpenVINO backend share; the rest is shared with ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_case import TARGET, Case, static_case

from octavo.arrays import Array, Batch
from octavo.backends.onnxruntime import rewrite
from octavo.backends.openvino import OpenVinoBackend
from octavo.backends.openvino import run as openvino_run
from octavo.backends.openvino.executed import Executed
from octavo.backends.openvino.kernels import Kernel, profile_session
from octavo.model import Model
from octavo.target import Target

BACKEND = OpenVinoBackend()


def int8_case(proto: onnx.ModelProto, batch: Batch, *kept: str) -> Case:
    """Return the case in which every group that can is INT8, but those in `kept`."""
    return static_case(proto, batch, *kept, backend=BACKEND)


def relative_error(expected: Array, found: Array) -> float:
    """Return the norm of the difference over that of `expected`, which counts as 1e-5 at least.

    The mends of products vary biases by some 1e-7: next to zeros that is no error.
    """
    distance = np.linalg.norm(np.asarray(found, np.float64) - expected)
    return float(distance / max(np.linalg.norm(expected), 1e-5))


def unmended(case: Case) -> Model:
    """Return the INT8 model of a case before the mends; `run_unmended` runs it."""
    return rewrite.build(case.model, case.graph, case.plan, case.ranges, plain=True)


@contextmanager
def without_mends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let sessions run models as they are, without the mends that they make of every model."""
    with monkeypatch.context() as patch:
        patch.setattr(openvino_run, "mended", lambda graph: graph)
        yield


def run_unmended(model: Model, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> dict[str, Array]:
    """Run a model as it is."""
    with without_mends(monkeypatch):
        return BACKEND.open(model, TARGET).run(batch)


def executed_unmended(case: Case, monkeypatch: pytest.MonkeyPatch) -> Executed:
    """Tell what the INT8 model of a case executes without mends."""
    model = unmended(case)
    with without_mends(monkeypatch):
        ran = profile_session(model, case.batch, TARGET, runs=1)
    return Executed(case.graph, model, ran.kernels)


def kernels(model: Model, batch: Batch, target: Target = TARGET) -> Sequence[Kernel]:
    """Return what OpenVINO executes of a model, but constants."""
    ran = profile_session(model, batch, target, runs=1).kernels
    return [kernel for kernel in ran if kernel.kind != "Const"]


def kinds(graph: ir.Model) -> list[str]:
    """Return the operators of a model."""
    return [node.op_type for node in graph.graph]
