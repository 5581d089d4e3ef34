"""Showing an observer the tensors of a running model."""

from __future__ import annotations

from collections.abc import Iterable

from octavo.arrays import Batch
from octavo.backends.base import Observer
from octavo.backends.reference.execute import Program
from octavo.backends.reference.run import ReferenceSession
from octavo.errors import ModelError, nearest
from octavo.target import Target


def observe(program: Program, batches: Iterable[Batch], observer: Observer, target: Target) -> None:
    """Run the batches and hand over the wanted tensors; a quantized one is dequantized.

    Raises:
        ModelError: a wanted tensor is not in the model.
        DataError: a batch does not fit the model's inputs.
    """
    network = program.network
    known = {spec.name for spec in network.inputs} | {layer.output for layer in network.layers}
    for tensor in observer.tensors:
        if tensor not in known:
            raise ModelError(f"the model has no tensor {tensor!r}{nearest(tensor, known)}")
    session = ReferenceSession(program, target.threads)
    for batch in batches:
        values, _ = session.trace(batch, observer.tensors)
        for tensor in observer.tensors:
            observer.update(tensor, values[tensor])
