"""Networks as plain data: layers by name, weights as numpy arrays, no framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from octavo.arrays import Array
from octavo.model import TensorSpec

Attribute: TypeAlias = int | tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Images are `(samples, channels, height, width)`. The operators, with their weights and
    attributes, are:

    - `conv`: weight `(out, in / groups, height, width)`, bias `(out,)`; `stride`, `padding` (zeros
      on every side), `groups`
    - `gemm`: a matrix times the transposed weight `(out, in)`, plus bias `(out,)`
    - `matmul`: the last two axes of its first input times a weight `(in, out)`, plus bias `(out,)`
      where it has one, or times a second input
    - `scale`: the channels along `axis` times a constant `(channels,)`
    - `relu`; `softmax` over the last axis; `add` of two inputs of one shape
    - `concat` along `axis`; `transpose` by `order`; `flatten` of all axes after the first
    - `max_pool` over windows of `size` with `stride`
    - `global_average_pool` to `(samples, channels, 1, 1)`

    Attributes:
        name: unique in the network.
        op: one of the operators above.
        inputs: names of the activation tensors it reads.
        output: name of the tensor it makes.
        weights: names of its constants, the weight first, then the bias.
        attributes: as listed for each operator.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    weights: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def number(self, attribute: str, default: int) -> int:
        """Return an attribute that is one number."""
        value = self.attributes.get(attribute, default)
        return value if isinstance(value, int) else value[0]

    def numbers(self, attribute: str) -> tuple[int, ...]:
        """Return an attribute that is several numbers."""
        value = self.attributes[attribute]
        return (value,) if isinstance(value, int) else value


@dataclass(frozen=True)
class Network:
    """A whole network.

    Attributes:
        name: a label.
        inputs: what it reads; the free first dimension is the sample axis.
        outputs: names of the tensors it returns.
        layers: in an order in which they can run.
        weights: constants by name.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    weights: Mapping[str, Array] = field(repr=False)

    def needed(self, wanted: Iterable[str]) -> tuple[Layer, ...]:
        """Return the layers that have to run to know the tensors in `wanted`."""
        open_tensors, kept = set(wanted), []
        for layer in reversed(self.layers):
            if layer.output in open_tensors:
                open_tensors.update(layer.inputs)
                kept.append(layer)
        return tuple(reversed(kept))

    def constants(self, layer: Layer) -> list[Array]:
        """Return the constants of a layer in order."""
        return [self.weights[name] for name in layer.weights]
