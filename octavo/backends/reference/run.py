"""Sessions, kernel times and the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from octavo.arrays import Array, Batch
from octavo.backends.base import Audit, KernelTime
from octavo.backends.reference.execute import BORDERS, Execution, Program, execute
from octavo.errors import DataError, nearest
from octavo.graph import Graph
from octavo.model import TensorSpec
from octavo.plan import Compute, Plan
from octavo.target import Target

REPEATS = 5  # runs that a kernel time is the mean of


@dataclass(frozen=True)
class ReferenceSession:
    """A program that runs with a fixed number of BLAS threads; integer kernels use one.

    Attributes:
        program: what runs.
        threads: the number of BLAS threads.
    """

    program: Program
    threads: int

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run one batch and return every model output by name.

        Raises:
            DataError: an input is missing or unknown, or has a wrong dtype or shape.
        """
        outputs = self.program.network.outputs
        values, _ = self.trace(batch)
        return {name: values[name] for name in outputs}

    def trace(
        self, batch: Batch, wanted: Iterable[str] = ()
    ) -> tuple[dict[str, Array], list[Execution]]:
        """Run what the outputs and the tensors in `wanted` depend on.

        Returns:
            Every tensor that was made, by name, and the layers that ran, in order.

        Raises:
            DataError: the batch does not fit, see `run`.
        """
        network = self.program.network
        check_batch(network.inputs, batch)
        with threadpool_limits(limits=self.threads):
            return execute(self.program, batch, {*network.outputs, *wanted})


def check_batch(specs: tuple[TensorSpec, ...], batch: Batch) -> None:
    """Refuse a batch that does not fit the declared inputs.

    Raises:
        DataError: an input is missing or unknown, or has a wrong dtype or shape.
    """
    names = {spec.name for spec in specs}
    for name in batch:
        if name not in names:
            raise DataError(f"the model has no input {name!r}{nearest(name, names)}")
    sizes: dict[str, int] = {}
    for spec in specs:
        if spec.name not in batch:
            raise DataError(f"input {spec.name!r} is missing; expected {spec}")
        _check_array(spec, batch[spec.name], sizes)


def _check_array(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> None:
    """Compare one array with its declaration; free dimensions of one name have one size."""
    fits = array.ndim == len(spec.shape) and all(
        size == (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted or size)
        for size, wanted in zip(array.shape, spec.shape, strict=True)
    )
    if not fits or array.dtype != np.dtype(spec.dtype):
        shape = ", ".join(map(str, array.shape))
        raise DataError(f"input {spec.name!r} is {array.dtype}[{shape}]; expected {spec}")


def profile(graph: Graph, program: Program, batch: Batch, target: Target) -> tuple[KernelTime, ...]:
    """Return the mean time of every layer that runs, after one run to warm up."""
    session = ReferenceSession(program, target.threads)
    runs = [session.trace(batch)[1] for _ in range(REPEATS + 1)][1:]
    owners = _owners(graph)
    return tuple(
        KernelTime(
            kernel=f"{same[0].kernel}:{same[0].layer.name}",
            groups=owners.get(same[0].layer.name, ()) if same[0].layer.op not in BORDERS else (),
            seconds=sum(execution.seconds for execution in same) / REPEATS,
        )
        for same in zip(*runs, strict=True)
    )


def _owners(graph: Graph) -> Mapping[str, tuple[str]]:
    return {op: (group.id,) for group in graph.groups for op in group.ops}


def audit(
    graph: Graph, plan: Plan, program: Program, batch: Batch, target: Target
) -> tuple[Audit, ...]:
    """Return what every group ran as, read from the layers of one run."""
    _, executions = ReferenceSession(program, target.threads).trace(batch)
    ran = {execution.layer.name: execution for execution in executions}
    return tuple(
        _audit_group(group.id, [ran[op] for op in group.ops if op in ran], plan)
        for group in graph.groups
    )


def _audit_group(group: str, executions: list[Execution], plan: Plan) -> Audit:
    requested = plan.format(group)
    executed: Compute = executions[0].compute if executions else "fp32"
    reason = None
    if not executions:
        reason = "no output depends on it: it did not run"
    elif executed != requested.compute:
        reason = f"the model holds a {executions[0].kernel} kernel for it"
    kernels = tuple(execution.kernel for execution in executions)
    return Audit(group, requested, executed, kernels, reason)
