"""Which group of the model a layer of OpenVINO's belongs to, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from octavo.graph import Graph

_REWRITTEN = re.compile(
    r"(/WithoutBiases|/DequantizationMultiply|/DequantizationSubtract|/WithoutDequantization"
    r"|_original)$"
)
"""What OpenVINO appends to the name of a layer that it takes apart."""
_PARTS = re.compile(r"\.(integer|cast|scale|product|bias|stored|looked_up|padded|kept|nothing)$")
"""What is appended to the name of an operator that is written as several."""
_COPY = re.compile(r"(\.float)?\.copy$")
"""What is appended to the name of a value that is copied; the copy's name hides the operator's."""


@dataclass(frozen=True)
class Owners:
    """The groups of layers.

    Attributes:
        operators: group ids by the names of operators.
        outputs: group ids by the names of the tensors that leave the groups.
    """

    operators: Mapping[str, str]
    outputs: Mapping[str, str]

    @classmethod
    def of(cls, graph: Graph) -> Owners:
        """Return the owners of the layers that a graph's operators become."""
        return cls(
            operators={op: group.id for group in graph.groups for op in group.ops},
            outputs={name: group.id for group in graph.groups for name in group.outputs},
        )

    def by_operator(self, layer: str) -> str | None:
        """Return the id of the group whose operator became a layer, None for quantizers."""
        for name in _spellings(layer):
            found = self.operators.get(name) or self.operators.get(_PARTS.sub("", name))
            if found is None and _COPY.search(name):
                found = self.outputs.get(_COPY.sub("", name))
            if found is not None:
                return found
        return None

    def by_output_alone(self, layer: str) -> str | None:
        """Return what `by_output` does, None where the layer has the name of an operator too."""
        return None if layer in self.operators else self.by_output(layer)

    def by_output(self, layer: str) -> str | None:
        """Return the id of the group that makes what a layer is called by.

        OpenVINO calls the last layer before an output of the model by that output: the operator, or
        what dequantizes its result.
        """
        return next(
            (self.outputs[name] for name in _spellings(layer) if name in self.outputs), None
        )


def _spellings(layer: str) -> Iterator[str]:
    """Yield a layer's name, then the shorter ones that it was made from."""
    yield layer
    while (shorter := _REWRITTEN.sub("", layer)) != layer:
        layer = shorter
        yield layer


def joined(layers: tuple[str, ...], known: frozenset[str]) -> tuple[str, ...]:
    """Return names of layers that OpenVINO joined by commas, put together where they hold some.

    Args:
        layers: the parts between the commas.
        known: the names of the model, only those with a comma matter.
    """
    commas = {name for name in known if "," in name}
    if not commas:
        return layers
    found: list[str] = []
    start = 0
    while start < len(layers):
        ends = range(len(layers), start, -1)
        end = next((e for e in ends if ",".join(layers[start:e]) in commas), start + 1)
        found.append(",".join(layers[start:end]))
        start = end
    return tuple(found)
