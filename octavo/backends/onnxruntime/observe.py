"""Showing the values inside a running model to an observer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir
import onnxruntime as ort

from octavo.arrays import Array, Batch
from octavo.backends.base import Observer
from octavo.backends.onnxruntime.align import remembered
from octavo.backends.onnxruntime.load import native
from octavo.backends.onnxruntime.run import (
    check_batch,
    open_session,
    run_session,
    session_options,
)
from octavo.errors import DataError, ModelError, nearest
from octavo.model import Model
from octavo.target import Target

MEMORY = 256 << 20  # bytes of observed tensors held at once


def observe(model: Model, batches: Iterable[Batch], observer: Observer, target: Target) -> None:
    """Run the batches with every wanted tensor as an output; `Backend.observe`."""
    wanted = list(dict.fromkeys(observer.tensors))
    inputs = {spec.name for spec in model.inputs}
    inner = [name for name in wanted if name not in inputs]
    options = session_options(target, optimize=model.optimize)
    channels = remembered(native(model).canonical)
    session = open_session(_with_outputs(native(model).canonical, inner), options)
    for batch in _slices(model, session, inner, batches):
        found = run_session(session, inner, batch) if inner else []
        values = dict(zip(inner, found, strict=True))
        for name in wanted:
            found_values = values[name] if name in values else batch[name]
            padded = name in channels
            observer.update(name, found_values[:, : channels[name]] if padded else found_values)


def _with_outputs(model: ir.Model, names: list[str]) -> ir.Model:
    changed = model.clone()
    known = {str(value.name): value for node in changed.graph for value in node.outputs}
    for name in names:
        if name not in known:
            raise ModelError(f"the model has no tensor {name!r}{nearest(name, known)}")
        if known[name].type is None:
            known[name].type = ir.TensorType(ir.DataType.FLOAT)
        if not known[name].is_graph_output():
            changed.graph.outputs.append(known[name])
    return changed


def _slices(
    model: Model, session: ort.InferenceSession, names: list[str], batches: Iterable[Batch]
) -> Iterator[Batch]:
    """Cut batches so that what is observed at once stays within `MEMORY`."""
    free = all(spec.shape and not isinstance(spec.shape[0], int) for spec in model.inputs)
    per_sample: int | None = None
    for batch in batches:
        check_batch(batch, model.inputs)
        sizes = {len(array) for array in batch.values()} if free and names else set()
        if per_sample is None and len(sizes) == 1:
            per_sample = _bytes_per_sample(session, names, batch)
        if not per_sample or len(sizes) != 1:
            yield batch
            continue
        step = max(1, MEMORY // per_sample)
        for start in range(0, sizes.pop(), step):
            yield _cut(batch, start, start + step)


def _bytes_per_sample(session: ort.InferenceSession, names: list[str], batch: Batch) -> int:
    """Return the size of what one sample makes, 0 where the model does not run on one alone."""
    try:
        return sum(array.nbytes for array in run_session(session, names, _cut(batch, 0, 1)))
    except DataError:
        return 0


def _cut(batch: Batch, start: int, stop: int) -> dict[str, Array]:
    return {name: array[start:stop] for name, array in batch.items()}
