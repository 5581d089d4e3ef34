"""A model in neutral terms: operators, tensors, and the groups that share a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from octavo.plan import Format

Kind: TypeAlias = Literal[
    "conv",  # convolution of any rank, grouped and depthwise ones too
    "conv_transpose",
    "matmul",  # product of two tensors, one of them may be a weight; Gemm too
    "embedding",  # rows of a constant table, by index
    "add",
    "mul",
    "activation",  # element by element, one input
    "pool",  # maximum or average over windows, or over all positions
    "concat",
    "move",  # reshape, transpose, slice, pad: values move and do not change
    "normalize",
    "softmax",
    "recurrent",
    "control",  # a body of its own: If, Loop, Scan
    "other",
]

Role: TypeAlias = Literal["compute", "follow", "float"]
"""`compute`: the group gains by itself from INT8. `follow`: it only keeps INT8 between groups that
do. `float`: it has no INT8 form worth using; the options say why."""


@dataclass(frozen=True)
class Tensor:
    """A named value between operators.

    Attributes:
        name: unique in the graph.
        dtype: numpy's name of the element type, for example `float32`.
        shape: dimensions for the target's input shapes, None where it is not known; a dimension is
            None when only running the model tells.
        channel_axis: the axis of the channels, None where there is none.
        tie: tensors with an equal tie share one range (not a decision); None is not tied.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None = None
    channel_axis: int | None = None
    tie: str | None = None


@dataclass(frozen=True)
class Op:
    """One operator of the model.

    Attributes:
        name: unique in the graph.
        kind: the neutral kind; `native` holds the framework's own.
        native: the framework's operator type, for example `Conv`.
        inputs: names of the activation tensors it reads.
        outputs: names of the tensors it makes.
        weights: names of the constant tensors it reads, the weight first, then the bias.
        macs: multiply-adds for one run at the target's shapes; 0 where it has none.
        attributes: neutral attributes worth showing, for example `groups`.
    """

    name: str
    kind: Kind
    native: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    macs: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Capability:
    """A format that the backend knows for a group.

    Attributes:
        format: the format.
        refused: None when it can be used, else the reason, written for the user's report.
    """

    format: Format
    refused: str | None = None


@dataclass(frozen=True)
class Group:
    """Operators that share one decision because the runtime fuses them or needs them to.

    Attributes:
        id: the name of its main operator.
        kind: the kind of its main operator.
        role: whether INT8 pays by itself.
        ops: names of its operators, in order.
        inputs: activation tensors that enter it, the order `Format.inputs` refers to.
        outputs: tensors that leave it, the order `Format.outputs` refers to.
        options: the formats it can take, best first; FP32 is always possible and not listed.
        pattern: equal patterns cost the same on one target (operators, attributes and shapes).
        macs: multiply-adds of all its operators.
    """

    id: str
    kind: Kind
    role: Role
    ops: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[Capability, ...] = ()
    pattern: str = ""
    macs: int = 0

    @property
    def formats(self) -> tuple[Format, ...]:
        """The quantized formats that can be used, best first."""
        return tuple(option.format for option in self.options if option.refused is None)

    @property
    def refusal(self) -> str | None:
        """Why no quantized format can be used; None when one can."""
        if self.formats:
            return None
        reasons = [option.refused for option in self.options if option.refused]
        return reasons[0] if reasons else f"no INT8 form of {self.kind} operators is known"


@dataclass(frozen=True)
class Graph:
    """A whole model in neutral terms.

    Attributes:
        ops: every operator, in an order in which they can run.
        tensors: every tensor an operator reads or makes, by name.
        groups: every operator is in exactly one group; in the order of their first operators.
        inputs: names of the model's inputs.
        outputs: names of the model's outputs.
        fingerprint: hash of structure, attributes and weights.
        quantized: for the user, what of the model is quantized already, which stays as it is, and
            what to do about it; None for a float model.
    """

    ops: tuple[Op, ...]
    tensors: Mapping[str, Tensor]
    groups: tuple[Group, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fingerprint: str
    quantized: str | None = None

    @cached_property
    def group_by_id(self) -> Mapping[str, Group]:
        """Groups by id."""
        return {group.id: group for group in self.groups}

    @cached_property
    def op_by_name(self) -> Mapping[str, Op]:
        """Operators by name."""
        return {op.name: op for op in self.ops}

    @cached_property
    def producer(self) -> Mapping[str, Group]:
        """The group that makes each tensor; inputs and constants are absent."""
        return {tensor: group for group in self.groups for tensor in group.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Group, ...]]:
        """The groups that read each tensor."""
        found: dict[str, list[Group]] = {}
        for group in self.groups:
            for tensor in dict.fromkeys(group.inputs):
                found.setdefault(tensor, []).append(group)
        return {tensor: tuple(groups) for tensor, groups in found.items()}

    @cached_property
    def ties(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the tensors of each tie."""
        found: dict[str, list[str]] = {}
        for tensor in self.tensors.values():
            if tensor.tie is not None:
                found.setdefault(tensor.tie, []).append(tensor.name)
        return {tie: tuple(names) for tie, names in found.items()}

    @property
    def macs(self) -> int:
        """Multiply-adds of one run at the target's shapes."""
        return sum(op.macs for op in self.ops)
