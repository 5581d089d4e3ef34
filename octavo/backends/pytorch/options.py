"""The formats each kind of group can take in PyTorch, best first, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import fx

from octavo.backends.pytorch.channels import argument, is_constant
from octavo.backends.pytorch.kinds import MOVES, kind_of, native_of
from octavo.backends.pytorch.program import value_of
from octavo.graph import Capability, Role
from octavo.plan import S8, U8, Format, Scheme
from octavo.target import Target

TIED = MOVES | {"max_pool2d", "cat"}
"""Operators that run on integers as they are: what they read and make has one scale."""

BETWEEN = TIED | {"add", "avg_pool2d", "adaptive_avg_pool2d", "mean", "relu", "hardtanh",
                  "hardswish"}  # fmt: skip
"""Operators between products: between integers they are fused with their conversion."""

REASONS = {
    "scaled_dot_product_attention": "PyTorch has no INT8 attention on CPUs",
    "layer_norm": "a normalization loses accuracy in INT8 and gains no speed",
    "softmax": "a softmax loses accuracy in INT8 and gains no speed",
    "embedding": "a table of rows in INT8 is not written yet: it stays in float",
    "lstm": "PyTorch's INT8 LSTM is not written into captured graphs yet",
    "conv3d": "PyTorch's INT8 convolutions have one or two dimensions",
}


@dataclass(frozen=True)
class Head:
    """What of a group decides on its formats.

    Attributes:
        nodes: its nodes, the main one first.
        inputs: how many activations enter it.
        outputs: how many tensors leave it.
        dtypes: the element types of those.
    """

    nodes: tuple[fx.Node, ...]
    inputs: int
    outputs: int
    dtypes: frozenset[str]

    @property
    def main(self) -> fx.Node:
        """The main node."""
        return self.nodes[0]


def options(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    """Return the group's role and its formats, best first."""
    native, kind = native_of(head.main), kind_of(head.main)
    if native in REASONS:
        return refused(REASONS[native])
    if head.dtypes != {"float32"}:
        kinds = ", ".join(sorted(head.dtypes - {"float32"})) or "no tensor"
        return refused(f"only float32 tensors are quantized, here are {kinds}")
    if kind == "conv":
        reason = unusable(head.main)
        return refused(reason) if reason else ("compute", _weighted(head, target, U8, None))
    if native == "linear":
        reason = unusable(head.main)
        return refused(reason) if reason else ("compute", _linear(head, target))
    if kind == "matmul":
        return refused("PyTorch has no INT8 product of two activations on CPUs")
    if native in BETWEEN and head.inputs and not any(map(_reads_constant, head.nodes)):
        between = Format("int8", None, (U8,) * head.inputs, (U8,) * head.outputs)
        return "follow", (Capability(between),)
    return refused(f"PyTorch has no INT8 form of {native} on CPUs that is worth using")


def refused(reason: str) -> tuple[Role, tuple[Capability, ...]]:
    """Return the options of a group that stays float, with the reason."""
    return "float", (Capability(Format("int8"), reason),)


def _reads_constant(node: fx.Node) -> bool:
    return any(map(is_constant, node.all_input_nodes))


def weight_scheme(target: Target, axis: int | None) -> Scheme:
    """Return the weight scheme for a processor: 7 bits where 8 would saturate the products."""
    return replace(S8, bits=7 if target.cpu.saturates else 8, axis=axis)


def unusable(node: fx.Node) -> str | None:
    """Return why a convolution or linear layer has no INT8 form; None where it has one."""
    weight, bias = node.args[1], argument(node, 2, "bias")
    if is_constant(node.args[0]):
        return "it reads constants only"
    if not is_constant(weight):
        return "its weight is not constant"
    if value_of(node).ndim < (2 if native_of(node) == "linear" else value_of(weight).ndim):
        return "what it reads has no sample axis"
    if bias is not None and not is_constant(bias):
        return "its bias is not constant"
    if value_of(weight).dtype != torch.float32:
        return "its weight is not float32"
    if isinstance(argument(node, 4, "padding"), str):
        return "its padding is given by a word, and not the same on both sides"
    return None


def _weighted(head: Head, target: Target, *outputs: Scheme | None) -> tuple[Capability, ...]:
    """Return the static formats of a group with a constant weight, best first."""
    return tuple(
        Capability(Format("int8", weight_scheme(target, axis), (U8,) * head.inputs, (output,)))
        for axis in (0, None)
        for output in outputs
    )


def _linear(head: Head, target: Target) -> tuple[Capability, ...]:
    outputs = (U8, None) if len(head.nodes) > 1 else (None, U8)
    static = _weighted(head, target, *outputs)
    weight = weight_scheme(target, 0)
    return (*static, Capability(Format("int8_dynamic", weight, (U8,), (None,))))
