"""What the quantizers of a built model stand between."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

_NUMBERED = re.compile(r"_\d+$")
"""What OpenVINO appends to a layer that it writes more than once."""


@dataclass(frozen=True)
class Quantizers:
    """The QuantizeLinear and DequantizeLinear operators of a built model.

    Attributes:
        tensors: names of what each quantizer rounds, before and after it, by the quantizer's name.
        sources: the name of the value before the quantizer, by that of the dequantized one.
        dequantizers: names of the operators behind quantizers.
    """

    tensors: Mapping[str, frozenset[str]]
    sources: Mapping[str, str]
    dequantizers: frozenset[str]

    @classmethod
    def of(cls, nodes: Iterable[ir.Node]) -> Quantizers:
        """Return the quantizers among a model's operators."""
        tensors: dict[str, set[str]] = {}
        sources: dict[str, str] = {}
        behind: set[str] = set()
        for node in nodes:
            if node.op_type != "QuantizeLinear" or (read := node.inputs[0]) is None:
                continue
            behind.update(str(reader.name) for reader in _readers(node))
            shown = {str(value.name) for user in _readers(node) for value in user.outputs}
            source = str(read.name)
            sources.update(dict.fromkeys(shown, source))
            tensors[str(node.name)] = {_plain(name) for name in (source, *shown)}
        return cls(
            {name: frozenset(found) for name, found in tensors.items()}, sources, frozenset(behind)
        )

    def rounds(self, layer: str, tensor: str) -> bool:
        """Return whether a layer is a quantizer of a tensor."""
        found = self.tensors.get(layer) or self.tensors.get(_NUMBERED.sub("", layer), frozenset())
        return _plain(tensor) in found

    def source(self, tensor: str) -> str:
        """Return the name of what a tensor was before it was quantized and dequantized."""
        while tensor in self.sources:
            tensor = self.sources[tensor]
        return tensor


def _readers(node: ir.Node) -> list[ir.Node]:
    return [reader for value in node.outputs for reader in value.consumers()]


def _plain(tensor: str) -> str:
    """Return a tensor's name without what the rewriter appends where another value takes it."""
    return tensor.removesuffix(".float")
