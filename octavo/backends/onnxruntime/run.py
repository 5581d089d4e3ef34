"""Sessions with a fixed number of threads, and what their profiler saw."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from octavo.arrays import Array, Batch
from octavo.backends.onnxruntime.external import Message, message_of, size_of
from octavo.backends.onnxruntime.load import native
from octavo.backends.onnxruntime.messages import first_line
from octavo.errors import DataError, ModelError, nearest
from octavo.model import Model, TensorSpec
from octavo.target import Target
from octavo.workspace import require_space

PROVIDER = "CPUExecutionProvider"
PROFILE_BYTES = 4 << 20  # room for what the profiler writes of a few runs
EXTERNAL_WEIGHTS = "session.optimized_model_external_initializers_file_name"


class OnnxSession:
    """A model that ONNX Runtime holds ready."""

    def __init__(self, session: ort.InferenceSession, model: Model) -> None:
        self._session = session
        self._inputs = model.inputs
        self._outputs = [spec.name for spec in model.outputs]

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run one batch and return every model output by name."""
        check_batch(batch, self._inputs)
        values = run_session(self._session, self._outputs, batch)
        return dict(zip(self._outputs, values, strict=True))


def check_batch(batch: Batch, specs: Sequence[TensorSpec]) -> None:
    """Check names, dtypes and shapes of a batch.

    Raises:
        DataError: one does not fit, with what was expected.
    """
    expected = {spec.name: spec for spec in specs}
    for name in batch:
        if name not in expected:
            raise DataError(
                f"the model has no input {name!r}; expected {', '.join(map(str, specs))}"
                f"{nearest(name, expected)}"
            )
    for name, spec in expected.items():
        if name not in batch:
            raise DataError(f"input {spec} is missing; got {', '.join(batch) or 'nothing'}")
        _check_array(batch[name], spec)


def _check_array(array: Array, spec: TensorSpec) -> None:
    if array.dtype.name != spec.dtype and spec.dtype not in ("unknown", "str"):
        raise DataError(f"input {spec} got dtype {array.dtype.name}")
    fits = array.ndim == len(spec.shape) and all(
        not isinstance(size, int) or size == given
        for size, given in zip(spec.shape, array.shape, strict=True)
    )
    if not fits and spec.shape:
        raise DataError(f"input {spec} got shape {list(array.shape)}")


def session_options(target: Target, *, optimize: bool = True) -> ort.SessionOptions:
    """Return options for one instance on `target.threads` threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    return options


class _InferenceSession(ort.InferenceSession):
    """A session that keeps the memory alive which it has its weights in."""

    def __init__(self, message: Message, options: ort.SessionOptions) -> None:
        self._values = message.values()
        if self._values:
            options.add_external_initializers(list(message.arrays), self._values)
        super().__init__(message.content, options, providers=[PROVIDER])


def open_session(model: ir.Model, options: ort.SessionOptions) -> ort.InferenceSession:
    """Hand a model to ONNX Runtime, large weights as they lie in memory.

    Args:
        model: of any size.
        options: of this session alone.

    Raises:
        ModelError: ONNX Runtime refuses it.
    """
    try:
        return _InferenceSession(message_of(model), options)
    except Exception as error:  # every failure of the runtime has a type of its own
        raise ModelError(f"ONNX Runtime cannot open the model: {first_line(error)}") from error


def run_session(
    session: ort.InferenceSession, names: Sequence[str] | None, batch: Batch
) -> list[Array]:
    """Run one batch and return the values called `names`, of all outputs for None.

    Raises:
        DataError: ONNX Runtime stopped at a value or a shape of the batch.
    """
    try:
        values: list[Array] = session.run(names, dict(batch))
    except Exception as error:  # every failure of the runtime has a type of its own
        raise DataError(f"ONNX Runtime cannot run the batch: {first_line(error)}") from error
    return values


def open_model(model: Model, target: Target) -> OnnxSession:
    """Make a model ready; `Backend.open`."""
    options = session_options(target, optimize=model.optimize)
    return OnnxSession(open_session(native(model).original, options), model)


@dataclass(frozen=True)
class Kernel:
    """One node of the optimized graph as the profiler saw it.

    Attributes:
        node: the node's name, without what optimizers append to it.
        kind: the operator type that ran.
        seconds: median time per run.
        outputs: element types of what it made, as ONNX Runtime names them.
        values: names of what it made.
    """

    node: str
    kind: str
    seconds: float
    outputs: tuple[str, ...]
    values: tuple[str, ...]


def profile_session(model: Model, batch: Batch, target: Target, runs: int) -> list[Kernel]:
    """Run a model under ONNX Runtime's profiler and return the median of every kernel."""
    options = session_options(target, optimize=model.optimize)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        require_space(Path(folder), size_of(native(model).original) + PROFILE_BYTES)
        options.profile_file_prefix = str(Path(folder) / "profile")
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry(EXTERNAL_WEIGHTS, "weights.bin")
        session = open_session(native(model).original, options)
        check_batch(batch, model.inputs)
        for _ in range(runs + 1):
            run_session(session, None, batch)
        events = json.loads(Path(session.end_profiling()).read_text())
        nodes = onnx.load(optimized, load_external_data=False).graph.node
        made = {node.name: tuple(node.output) for node in nodes}
    return _kernels(events, made, runs)


def _kernels(
    events: list[dict[str, Any]], made: Mapping[str, tuple[str, ...]], runs: int
) -> list[Kernel]:
    suffix = "_kernel_time"
    seen: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(suffix):
            seen.setdefault(event["name"][: -len(suffix)], []).append(event)
    return [_kernel(name, made.get(name, ()), found, runs) for name, found in seen.items()]


def _kernel(name: str, values: tuple[str, ...], events: list[dict[str, Any]], runs: int) -> Kernel:
    arguments: Mapping[str, Any] = events[-1]["args"]
    per_run = max(1, len(events) // (runs + 1))
    warm = [event["dur"] for event in events[per_run:]] or [events[-1]["dur"]]
    # a node in a loop runs several times; the median leaves out runs that were disturbed
    sums = [sum(warm[at : at + per_run]) for at in range(0, len(warm), per_run)]
    types = tuple(next(iter(entry), "") for entry in arguments.get("output_type_shape", ()))
    return Kernel(
        node=name.split("_token_")[0],
        kind=str(arguments.get("op_name", "")),
        seconds=float(np.median(sums)) * 1e-6,
        outputs=types,
        values=values,
    )
