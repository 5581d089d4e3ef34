"""Showing the values inside a running program to an observer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from octavo.arrays import Batch
from octavo.backends.base import Observer
from octavo.backends.pytorch.load import native
from octavo.backends.pytorch.prepare import dequantize, prepared
from octavo.backends.pytorch.program import Program, Shown
from octavo.backends.pytorch.run import call
from octavo.backends.reference.run import check_batch
from octavo.errors import ModelError, nearest
from octavo.model import Model
from octavo.target import Target


def observe(model: Model, batches: Iterable[Batch], observer: Observer, target: Target) -> None:
    """Run the batches and hand over each wanted tensor as it is made; `Backend.observe`.

    Raises:
        ModelError: a wanted tensor is not in the model.
        DataError: a batch does not fit the model's inputs.
    """
    program = native(model).program
    places = _places(program, observer.tensors)
    module = prepared(_with_outputs(program, places))
    for batch in batches:
        check_batch(model.inputs, batch)
        showing = _Showing(module, places, observer)
        call(showing.run, [batch[spec.name] for spec in model.inputs], target.threads)


def _places(program: Program, names: Iterable[str]) -> dict[str, list[tuple[str, Shown]]]:
    """Return by node which tensors it shows, and how."""
    known = {node.name for node in program.graph.nodes if node.op != "output"}
    found: dict[str, list[tuple[str, Shown]]] = {}
    for name in names:
        shown = program.shown.get(name, Shown(name))
        if shown.node not in known:
            hint = nearest(name, known)
            raise ModelError(f"the model has no tensor {name!r} of its own{hint}")
        found.setdefault(shown.node, []).append((name, shown))
    return found


def _with_outputs(program: Program, places: Mapping[str, Any]) -> Program:
    """Return the program with the nodes as outputs, so that none of them is left out."""
    changed = program.copy()
    wanted = [node for node in changed.graph.nodes if node.name in places]
    output = changed.graph.output_node()
    output.args = ((*changed.outputs, *wanted),)
    return changed


class _Showing(fx.Interpreter):
    """Runs a module; values go when their last reader has run."""

    def __init__(
        self,
        module: fx.GraphModule,
        places: Mapping[str, list[tuple[str, Shown]]],
        observer: Observer,
    ) -> None:
        super().__init__(module)
        self._places = places
        self._observer = observer

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and show what it makes."""
        value = super().run_node(n)
        for name, shown in self._places.get(n.name, ()):
            self._observer.update(name, _values(value, shown).numpy())
        return value


def _values(value: torch.Tensor, shown: Shown) -> torch.Tensor:
    if shown.scale is None:
        return value
    return dequantize(value, shown.scale, shown.zero_point, 0, 255, torch.uint8)
