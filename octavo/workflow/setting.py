"""What every step of one run shares: the model, its graph, and where it will run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from octavo.arrays import Array
from octavo.artifact import sha256
from octavo.backends.base import Backend, Session
from octavo.bench.topology import available_topology, choose_cores
from octavo.graph import Graph
from octavo.model import Model
from octavo.target import Target
from octavo.workflow.batches import FullBatchSession, fixed_batch


@dataclass(frozen=True)
class Setting:
    """A loaded float model and its target.

    Attributes:
        backend: runs the model.
        model: the float model.
        graph: the model in neutral terms.
        target: what is built for and measured.
        sample: the inputs of one forward at the target's shapes.
    """

    backend: Backend
    model: Model
    graph: Graph
    target: Target
    sample: Mapping[str, Array]

    @property
    def work(self) -> Target:
        """The target for work that is not measured: all cores this process may use."""
        return replace(self.target, threads=max(self.target.threads, len(os.sched_getaffinity(0))))

    @property
    def fixed(self) -> int | None:
        """The batch size that the model declares, None where it is free."""
        return fixed_batch(self.model.inputs)

    def open(self, model: Model) -> Session:
        """Open the float model or one built from it, for work that is not measured."""
        return FullBatchSession(self.backend.open(model, self.work), self.fixed)


def describe(backend: Backend, model: Model, threads: int, sample: Mapping[str, Array]) -> Setting:
    """Describe a float model for a target of `threads` threads and the shapes of `sample`.

    Raises:
        UsageError: there are fewer cores than threads.
    """
    choose_cores(available_topology(), threads)
    shapes = {name: tuple(array.shape) for name, array in sample.items()}
    target = Target(threads=threads, shapes=shapes)
    return Setting(backend, model, backend.graph(model, target), target, sample)


def source_record(model: Model) -> dict[str, str | None]:
    """Return the file name and the sha256 of a model, None for one that is not on disk."""
    source: Path | None = model.source
    if source is None:
        return {"name": "in memory", "sha256": None}
    return {"name": source.name, "sha256": sha256(source)}
