"""Showing the values inside a running model to an observer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import onnx_ir as ir

from octavo.arrays import Array, Batch
from octavo.backends.base import Observer
from octavo.backends.onnxruntime.align import remembered
from octavo.backends.onnxruntime.layout import TO_CHANNELS_FIRST, TO_CHANNELS_LAST, blocked
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
INTEGERS = (ir.DataType.UINT8, ir.DataType.INT8)
SPINNING = "session.intra_op.allow_spinning"


def observe(model: Model, batches: Iterable[Batch], observer: Observer, target: Target) -> None:
    """Run the batches with every wanted tensor as an output; `Backend.observe`."""
    wanted = list(dict.fromkeys(observer.tensors))
    watched = _Watched(model, wanted, target)
    for batch in _slices(model, watched, batches):
        _show(watched.run(batch), batch, wanted, observer)  # unnamed: gone before the next run


def _show(
    values: Mapping[str, Array], batch: Batch, wanted: Iterable[str], observer: Observer
) -> None:
    """Hand over one batch."""
    for name in wanted:
        observer.update(name, values[name] if name in values else batch[name])


class _Watched:
    """A model with the wanted tensors as its outputs.

    Its threads wait for work without spinning: between two batches the observer computes, and what
    is spun away then is a core that it, or someone else, could use.
    """

    def __init__(self, model: Model, wanted: Iterable[str], target: Target) -> None:
        inputs = {spec.name for spec in model.inputs}
        self.names = [name for name in wanted if name not in inputs]
        options = session_options(target, optimize=model.optimize)
        options.add_session_config_entry(SPINNING, "0")
        source = native(model).canonical
        self._channels = remembered(source)
        self._turned = blocked(source.graph) if model.optimize else frozenset()
        changed, self._outputs = _with_outputs(source, self.names, self._turned)
        self._session = open_session(changed, options)

    def run(self, batch: Batch) -> dict[str, Array]:
        """Return the values of the wanted tensors that are not inputs."""
        if not self.names:
            return {}
        found = run_session(self._session, self._outputs, batch)
        values = {
            name: array.transpose(TO_CHANNELS_FIRST) if name in self._turned else array
            for name, array in zip(self.names, found, strict=True)
        }
        return values | {
            name: values[name][:, :channels]
            for name, channels in self._channels.items()
            if name in values
        }


def _with_outputs(
    model: ir.Model, names: Iterable[str], turned: Collection[str]
) -> tuple[ir.Model, list[str]]:
    """Return a copy with more outputs, and what they are called; turned ones have channels last."""
    changed = model.clone()
    known = {str(value.name): value for node in changed.graph for value in node.outputs}
    outputs = []
    for name in names:
        value = known[name] if name in known else _dequantized(changed.graph, name, known)
        if value is None:
            raise ModelError(f"the model has no tensor {name!r}{nearest(name, known)}")
        if value.type is None:
            value.type = ir.TensorType(ir.DataType.FLOAT)
        if name in turned:
            value = _turn(changed.graph, value)
        if not value.is_graph_output():
            changed.graph.outputs.append(value)
        outputs.append(str(value.name))
    return changed, outputs


def _dequantized(graph: ir.Graph, name: str, known: Mapping[str, ir.Value]) -> ir.Value | None:
    """Return a tensor that is there in integers only, as all that read it move integers.

    None where there is none.
    """
    parameters = [graph.initializers.get(f"{name}.{part}") for part in ("scale", "zero_point")]
    stored = (known.get(f"{name}.{end}") for end in ("quantized", "float"))
    integers = next((v for v in stored if v is not None and v.dtype in INTEGERS), None)
    if integers is None or None in parameters:
        return None
    node = ir.node("DequantizeLinear", [integers, *parameters], name=f"{name}.dequantized")
    made = node.outputs[0]
    made.name, made.type, made.shape = name, ir.TensorType(ir.DataType.FLOAT), integers.shape
    graph.append(node)
    return made


def _turn(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Append a Transpose that makes the channels the last axis; return what it makes."""
    name = f"{value.name}.channels_last"
    node = ir.node("Transpose", [value], {"perm": TO_CHANNELS_LAST}, name=name)
    turned = node.outputs[0]
    turned.name, turned.type = name, value.type
    graph.append(node)
    return turned


def _slices(model: Model, watched: _Watched, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Cut batches so that what is observed at once stays within `MEMORY`."""
    free = all(spec.shape and not isinstance(spec.shape[0], int) for spec in model.inputs)
    per_sample: int | None = None
    for batch in batches:
        check_batch(batch, model.inputs)
        sizes = {len(array) for array in batch.values()} if free and watched.names else set()
        samples = sizes.pop() if len(sizes) == 1 else 1
        if per_sample is None and samples > 1:
            per_sample = _bytes_per_sample(watched, batch)
        if not per_sample or samples == 1:
            yield batch
            continue
        step = max(1, MEMORY // per_sample)
        for start in range(0, samples, step):
            yield _cut(batch, start, start + step)


def _bytes_per_sample(watched: _Watched, batch: Batch) -> int:
    """Return the size of what one sample makes, 0 where the model does not run on one alone."""
    try:
        return sum(array.nbytes for array in watched.run(_cut(batch, 0, 1)).values())
    except DataError:
        return 0


def _cut(batch: Batch, start: int, stop: int) -> dict[str, Array]:
    return {name: array[start:stop] for name, array in batch.items()}
