"""Sessions with a fixed number of threads, and a look at the operators while they run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from octavo.arrays import Array, Batch
from octavo.backends.pytorch.load import native
from octavo.backends.pytorch.prepare import prepared
from octavo.backends.reference.run import check_batch
from octavo.errors import DataError
from octavo.model import Model
from octavo.target import Target


class TorchSession:
    """A program that PyTorch runs operator by operator.

    The number of threads belongs to the process: each run sets it where another session changed it.
    """

    def __init__(self, model: Model, target: Target) -> None:
        self._module = prepared(native(model).program)
        self._inputs = model.inputs
        self._outputs = [spec.name for spec in model.outputs]
        self._threads = target.threads

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run one batch and return every model output by name."""
        check_batch(self._inputs, batch)
        values = call(self._module, [batch[spec.name] for spec in self._inputs], self._threads)
        return dict(zip(self._outputs, map(to_array, values), strict=True))


def call(run: Callable[..., Any], arrays: list[Array], threads: int) -> Any:
    """Run a module, or an interpreter of one, on arrays.

    Raises:
        DataError: PyTorch stopped at a value or a shape.
    """
    use_threads(threads)
    try:
        with torch.inference_mode():
            return run(*map(to_tensor, arrays))
    except (RuntimeError, IndexError, ValueError) as error:
        raise DataError(
            f"PyTorch cannot run the batch: {' '.join(str(error).split())[:400]}"
        ) from error


def use_threads(threads: int) -> None:
    """Set the threads of one operator, where they are others."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def to_tensor(array: Array) -> torch.Tensor:
    """Return an array as a tensor, of the same memory where PyTorch takes it."""
    usable = array.flags.writeable and not any(stride < 0 for stride in array.strides)
    return torch.from_numpy(array if usable else array.copy())


def to_array(tensor: torch.Tensor) -> Array:
    """Return a tensor as an array of its own: it may share memory with an input."""
    return np.array(tensor.numpy())


@dataclass(frozen=True)
class Step:
    """One operator that ran.

    Attributes:
        node: name of its node.
        operator: what ran, such as `onednn::qconv_pointwise`.
        reads: element types of the tensors that it read.
        makes: element type of what it made; empty where that is neither tensor nor tensors.
        seconds: how long it took.
    """

    node: str
    operator: str
    reads: tuple[str, ...]
    makes: str
    seconds: float


class Tracer(fx.Interpreter):
    """Runs a module and notes every operator."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.steps: list[Step] = []

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        if n.op != "call_function":
            return super().run_node(n)
        reads = [self.env[one] for one in n.all_input_nodes]
        start = time.perf_counter()
        value = super().run_node(n)
        seconds = time.perf_counter() - start
        types = tuple(_type(one) for one in reads)
        self.steps.append(Step(n.name, operator_name(n), types, _type(value), seconds))
        return value


def _type(value: Any) -> str:
    if isinstance(value, (list, tuple)) and value:
        return _type(value[0])
    return str(value.dtype).removeprefix("torch.") if isinstance(value, torch.Tensor) else ""


def operator_name(node: fx.Node) -> str:
    """Return what reports call an operator."""
    schema = getattr(node.target, "_schema", None)
    return str(schema.name) if schema else str(getattr(node.target, "__name__", node.target))


@dataclass(frozen=True)
class Traced:
    """What several runs of a model showed.

    Attributes:
        runs: the operators of each run.
        outputs: of the last run, by name.
    """

    runs: list[list[Step]]
    outputs: dict[str, Array]


def trace(model: Model, batch: Batch, target: Target, runs: int) -> Traced:
    """Run a model several times, and once before that, and note its operators."""
    check_batch(model.inputs, batch)
    module = prepared(native(model).program)
    arrays = [batch[spec.name] for spec in model.inputs]
    found, values = [], ()
    for _ in range(runs + 1):
        tracer = Tracer(module)
        values = call(tracer.run, arrays, target.threads)
        found.append(tracer.steps)
    names = [spec.name for spec in model.outputs]
    return Traced(found[1:], dict(zip(names, map(to_array, values), strict=True)))
