"""The Backend protocol: the narrow face every framework shows to the rest of Octavo."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from octavo.arrays import Array, Batch
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Compute, Format, Plan, Range
from octavo.target import Target

Ranges: TypeAlias = Mapping[str, Range]
"""Ranges of activation tensors by name."""

Feature: TypeAlias = Literal["static", "dynamic", "weight_only", "bf16", "switches", "trains"]


class Observer(Protocol):
    """What wants to see the values of tensors while a model runs."""

    @property
    def tensors(self) -> Collection[str]:
        """Names of the tensors it wants."""
        ...

    def update(self, tensor: str, values: Array) -> None:
        """Take the values of one batch; called once per batch for every wanted tensor.

        A backend may cut a batch whose tensors would take much memory, and calls once per part.

        Args:
            tensor: one of `tensors`.
            values: the array, whose axes may lie in any order in memory, and which may be reused
                after the call.
        """
        ...


class Session(Protocol):
    """A model made ready to run on a fixed number of threads."""

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run one batch and return every model output by name.

        Raises:
            DataError: an input is missing, or has a wrong dtype or shape.
        """
        ...


@dataclass(frozen=True)
class KernelTime:
    """Time spent in one kernel of the running model.

    Attributes:
        kernel: the runtime's name of what ran.
        groups: ids of the groups it computes; empty for a border (quantize, reorder) or overhead.
        seconds: mean or median time per run.
    """

    kernel: str
    groups: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Audit:
    """What one group really executed.

    Attributes:
        group: its id.
        requested: the format the plan asked for.
        executed: the precision it ran in, read back from the runtime.
        kernels: the runtime's names of the kernels it ran as.
        reason: why `executed` is not what was requested; None where it is.
    """

    group: str
    requested: Format
    executed: Compute
    kernels: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Edit:
    """A new value for one constant of the model.

    Attributes:
        weight: the constant's name.
        value: an array of the same shape and dtype.
    """

    weight: str
    value: Array


@dataclass(frozen=True)
class Bias:
    """A bias for an operator that multiplies by a constant weight (`Op.linear`).

    It takes the place of the bias that `Linear.bias` names, and becomes a constant of the
    operator's own where that one is shared or there is none. The tensors keep their names.

    Attributes:
        op: the operator's name.
        value: float32, one value per output channel.
    """

    op: str
    value: Array


@dataclass(frozen=True)
class Multiply:
    """A new operator: some readers of a tensor get its channels times constant factors.

    It is a group of its own, of kind `mul`, and makes a tensor of its own.

    Attributes:
        tensor: what is multiplied.
        axis: the axis of the channels.
        factor: float32, one value per channel.
        readers: names of the operators that read the product in place of the tensor.
    """

    tensor: str
    axis: int
    factor: Array
    readers: tuple[str, ...]


Change: TypeAlias = Edit | Bias | Multiply
"""What `Backend.edit` takes."""


@runtime_checkable
class Dequantizes(Protocol):
    """An optional part of a backend: it can take the quantization out of a model."""

    def without_quantization(self, model: Model) -> Model:
        """Return the float form of a model that carries quantization; the given one stays.

        Its weights keep the rounding that they were stored with.

        Raises:
            UsageError: it carries none.
            ModelError: it is of a form that cannot be turned back.
        """
        ...


@runtime_checkable
class Backend(Protocol):
    """One framework, in neutral data.

    A backend keeps no state between calls, never runs code from a model file unless `trust=True`,
    and says what it cannot do by a `Capability` with a reason, by `features`, or by an
    `OctavoError`.
    """

    name: str

    def features(self) -> Mapping[Feature, str | None]:
        """Return every feature with None where it is there, else the reason why not."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Return the versions of the packages that its results depend on, by package name."""
        ...

    def owns(self, source: object) -> bool:
        """Return whether `source` (a path or an object) is of this framework; reads little."""
        ...

    def load(self, source: object, *, trust: bool = False) -> Model:
        """Load a model.

        Raises:
            ModelError: it cannot be read, with the reason.
            TrustError: reading it would run code and `trust` is False.
        """
        ...

    def graph(self, model: Model, target: Target) -> Graph:
        """Describe a float model in neutral terms; tensor and group names hold for `build`."""
        ...

    def weights(self, model: Model, names: Iterable[str]) -> dict[str, Array]:
        """Return constants by the names that `Op.weights` gives them.

        Raises:
            ModelError: a name is not that of a constant.
        """
        ...

    def edit(self, model: Model, edits: Sequence[Change]) -> Model:
        """Return a model with changes, made one after the other; the given one is not changed.

        Groups keep their ids, and tensors that leave a group their names; a new bias may add an
        operator to its group.

        Raises:
            ModelError: a constant, a tensor or an operator does not exist, or a shape or dtype
                does not fit.
        """
        ...

    def observe(
        self, model: Model, batches: Iterable[Batch], observer: Observer, target: Target
    ) -> None:
        """Run the batches and show `observer` the tensors it wants, batch by batch.

        On a built model a tensor that was quantized shows its dequantized values.
        """
        ...

    def build(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Rewrite a float model into its INT8 form; the given one is not changed.

        Raises:
            ModelError: the plan names a group or asks a format that the model does not have, or a
                range that it needs is missing.
        """
        ...

    def reference(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return the float oracle of `build`: quantize-dequantize around float operators."""
        ...

    def open(self, model: Model, target: Target) -> Session:
        """Make a model ready to run on exactly `target.threads` threads."""
        ...

    def profile(
        self, model: Model, built: Model, batch: Batch, target: Target
    ) -> Sequence[KernelTime]:
        """Time the kernels of `built` (made from `model`) on one batch."""
        ...

    def audit(
        self, model: Model, plan: Plan, built: Model, batch: Batch, target: Target
    ) -> Sequence[Audit]:
        """Tell, for every group of `model`, what `built` executes, read back from the runtime."""
        ...

    def baselines(self, model: Model, target: Target) -> Mapping[str, Model]:
        """Return the float forms to be compared with, by name.

        `default` is what the runtime makes of the model when nobody asks for more, which may be a
        shorter float than FP32: then its `Model.label` says so, and FP32 is another one. Beside it
        is the best compiled form, where that is not the same.
        """
        ...

    def save(self, model: Model, folder: Path) -> None:
        """Write the model into an existing empty folder, in the framework's own format."""
        ...

    def restore(self, folder: Path, *, trust: bool = False) -> Model:
        """Read what `save` wrote."""
        ...
