"""Finding the operator behind values that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from octavo.arrays import Array
from octavo.data.base import Dataset
from octavo.errors import NonFiniteError
from octavo.graph import Graph, Op
from octavo.workflow.batches import full_batches
from octavo.workflow.setting import Setting


class _Finder:
    """An observer that notes which tensors are not finite."""

    def __init__(self, tensors: Collection[str]) -> None:
        self.tensors = tensors
        self.nan: set[str] = set()
        self.infinite: set[str] = set()

    def update(self, tensor: str, values: Array) -> None:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            (self.nan if np.isnan(values).any() else self.infinite).add(tensor)


def explain_non_finite(
    error: NonFiniteError, setting: Setting, dataset: Dataset, batch_size: int
) -> str:
    """Return a message that names the first operator which makes values that are not finite.

    Args:
        error: names the tensor in which they were seen.
        setting: the float model, which is run again to find their origin.
        dataset: the samples they were seen with.
        batch_size: samples of one forward.
    """
    graph = setting.graph
    first = _origin(setting, error.tensor, dataset, batch_size)
    if first is None:
        return f"{error}; mend the model or the data"
    touching = [group for group in graph.groups if error.tensor in (*group.inputs, *group.outputs)]
    patterns = " ".join(f"--float {group.id!r}" for group in touching[:3])
    hint = f", or keep what touches it in float ({patterns})" if _inner(graph, error) else ""
    where = "" if error.tensor in first.outputs else f", which tensor {error.tensor!r} inherits"
    return (
        f"operator {first.name!r} ({first.native}) makes NaN or infinite values{where}; "
        f"mend the model or the data{hint}"
    )


def _inner(graph: Graph, error: NonFiniteError) -> bool:
    return error.tensor in graph.tensors and error.tensor not in graph.outputs


def _origin(setting: Setting, tensor: str, dataset: Dataset, batch_size: int) -> Op | None:
    """Return the operator that `tensor` has its NaN or infinity from."""
    before = _before(setting.graph, tensor)
    tensors = [name for op in before for name in op.outputs if _is_float(setting, name)]
    for batch in full_batches(dataset, batch_size, setting.fixed):
        finder = _Finder(tensors)
        setting.backend.observe(setting.model, [batch.inputs], finder, setting.work)
        for bad in (finder.nan, finder.infinite):
            found = next((op for op in before if bad.intersection(op.outputs)), None)
            if found is not None:
                return _source_of_infinity(found, before, finder.infinite)
    return None


def _before(graph: Graph, tensor: str) -> list[Op]:
    """Return the operators that `tensor` depends on, in their order."""
    needed, kept = {tensor}, []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            kept.append(op)
    return kept[::-1]


def _source_of_infinity(op: Op, before: list[Op], infinite: set[str]) -> Op:
    """Return the operator whose infinity became NaN in `op`; `op` itself if it read none."""
    while read := infinite.intersection(op.inputs):
        op = next(other for other in before if read.intersection(other.outputs))
    return op


def _is_float(setting: Setting, tensor: str) -> bool:
    known = setting.graph.tensors.get(tensor)
    return known is not None and known.dtype.startswith("float")


def explain_weights(error: NonFiniteError, setting: Setting, groups: Collection[str]) -> str:
    """Return a message that names the constants of `groups` which are NaN or infinite.

    Args:
        error: what a backend said that was to quantize them.
        setting: the float model.
        groups: ids of the groups to look into.
    """
    found = list(_bad_weights(setting, groups))
    if not found:
        return f"{error}; mend the model"
    named = "; ".join(f"{weight!r} of operator {op.name!r}" for weight, op in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return (
        f"weights of the model are NaN or infinite: {named}{more}; mend the model, or keep them in "
        f"float (--float {found[0][1].name!r})"
    )


def _bad_weights(setting: Setting, groups: Collection[str]) -> Iterator[tuple[str, Op]]:
    graph = setting.graph
    for name in (name for group in groups for name in graph.group_by_id[group].ops):
        op = graph.op_by_name[name]
        for weight, array in setting.backend.weights(setting.model, op.weights).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                yield weight, op
