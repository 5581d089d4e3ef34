"""A model in neutral terms: operators, tensors, and the groups that share a decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from octavo.plan import Format, Plan

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
        tie: tensors with an equal tie share one range (not a decision) where the groups that tie
            them are INT8, see `Graph.planned`; None is not tied.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None = None
    channel_axis: int | None = None
    tie: str | None = None


@dataclass(frozen=True)
class Window:
    """The windows that a convolution sums over; one entry per spatial axis in each field.

    Attributes:
        kernel: size of the window in taps.
        strides: steps between windows.
        dilations: steps between the taps of a window.
        pads: zeros before the first and behind the last value.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Linear:
    """A product of one activation tensor, the operator's first input, with a constant weight.

    Every output channel is a weighted sum of input channels of its group, plus a bias. What a bias
    adds behind the operator counts as its bias when nothing else reads the sum.

    Attributes:
        weight: name of the weight.
        bias: name of the bias, one value per output channel; None without one.
        input_axis: the axis of the weight that runs over the input channels of a group.
        output_axis: the axis of the weight that runs over the output channels. Of the two, the one
            that a convolution puts first runs over all groups, the other over those of one group.
        tensor_axis: the channel axis of what it reads and what it makes, counted from the end where
            it is negative.
        groups: parts into which the channels are divided.
        window: of a convolution; None where every position is a product of its own, or where the
            windows are not known.
    """

    weight: str
    bias: str | None
    input_axis: int
    output_axis: int
    tensor_axis: int
    groups: int = 1
    window: Window | None = None


@dataclass(frozen=True)
class Scaling:
    """What has to be scaled so that the output of an operator is: a positive factor per channel.

    Multiplying the channels of all of `inputs` and `constants` by the same factors multiplies the
    channels of the output by them, to the bit but for rounding, whatever the other inputs hold. A
    ReLU passes factors on, an addition too when both summands carry them, and a normalization makes
    them by its own constants.

    Attributes:
        inputs: activation tensors that have to carry the factors.
        ignores: activation tensors that may carry any: their shape is read and no value.
        constants: constants that have to. They are broadcast as numpy does.
        axis: the one axis along which channels can be scaled, where `constants` are vectors; None
            for any axis.
        axes: the axes that stay whole, as pairs of input axis and output axis; None where every
            axis stays where it is.
        bounds: the interval that the operator cuts values to; factors are passed on only as long as
            no value is cut that was not, or the other way round.
    """

    inputs: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    axis: int | None = None
    axes: tuple[tuple[int, int], ...] | None = None
    bounds: tuple[float, float] | None = None


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
        linear: how it multiplies by a constant weight; None where it does not.
        scaling: how factors on channels reach its output; None where they do not.
    """

    name: str
    kind: Kind
    native: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    macs: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    linear: Linear | None = None
    scaling: Scaling | None = None


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

    def readers(self, group: Group) -> list[Group]:
        """Return the groups that read what a group makes; one that reads twice comes twice."""
        return [reader for name in group.outputs for reader in self.consumers.get(name, ())]

    @cached_property
    def ties(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the tensors of each tie."""
        found: dict[str, list[str]] = {}
        for tensor in self.tensors.values():
            if tensor.tie is not None:
                found.setdefault(tensor.tie, []).append(tensor.name)
        return {tie: tuple(names) for tie, names in found.items()}

    def planned(self, plan: Plan) -> Graph:
        """Return the same graph with those ties alone that groups make which `plan` quantizes.

        A group ties what it reads and makes where all of it has one tie. In float it ties nothing:
        the inputs of a concat of results keep ranges of their own.
        """
        parent = {name: name for name in self.tensors}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        for group in self.groups:
            names = (*group.inputs, *group.outputs)
            ties = {self.tensors[name].tie for name in names}
            if plan.format(group.id).compute == "int8" and len(ties) == 1 and None not in ties:
                for name in names[1:]:
                    parent[root(name)] = root(names[0])
        roots = {name: root(name) for name in parent}
        shared = Counter(roots.values())
        tensors = {
            name: replace(tensor, tie=roots[name] if shared[roots[name]] > 1 else None)
            for name, tensor in self.tensors.items()
        }
        return replace(self, tensors=tensors)

    @property
    def macs(self) -> int:
        """Multiply-adds of one run at the target's shapes."""
        return sum(op.macs for op in self.ops)
