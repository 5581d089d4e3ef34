"""Where channels can be scaled: tensors that share factors, and the constants that take them.

A factor on a channel of a tensor costs nothing where what makes the tensor takes it into a constant
and what reads the tensor divides its weight by it. Between the two, a ReLU, a pool or an addition
passes it on. All tensors that are linked so form one site: a residual stream is one, with every
convolution that adds to it and every one that reads it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octavo.correct.constants import Constants, block_shape
from octavo.graph import Graph, Linear, Op, Scaling

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Site:
    """Tensors whose channels carry the same factors.

    Attributes:
        axes: the channel axis of each tensor, counted from the first, by name.
        channels: how many channels they have.
        makers: operators with a weight whose output channels take the factors.
        constants: other constants that take them, with the axis of the channels.
        readers: operators with a weight whose input channels are divided by them.
        bounds: by tensor: the values that its operator cuts what it reads to (a Clip).
    """

    axes: Mapping[str, int]
    channels: int
    makers: tuple[str, ...]
    constants: Mapping[str, int]
    readers: tuple[str, ...]
    bounds: Mapping[str, Bounds]


class NotScalable(Exception):
    """The channels of a tensor cannot be scaled; the message says why."""


def find_sites(graph: Graph, constants: Constants) -> list[Site]:
    """Return every site of a graph, in the order of the operators that read them."""
    search = _Search(graph, constants)
    done: set[str] = set()
    sites = []
    for op in graph.ops:
        if op.linear is None or op.inputs[0] in done:
            continue
        try:
            channels = input_channels(constants, op.linear)
            sites.append(search.site(op.inputs[0], op.linear.tensor_axis, channels))
        except NotScalable:
            done.add(op.inputs[0])
        else:
            done.update(sites[-1].axes)
    return sites


def find_site(graph: Graph, constants: Constants, tensor: str, axis: int, channels: int) -> Site:
    """Return the site of a tensor with so many channels along `axis`.

    Raises:
        NotScalable: something that makes or reads it, or a tensor linked to it, takes no factors.
    """
    return _Search(graph, constants).site(tensor, axis, channels)


@dataclass
class _Search:
    graph: Graph
    constants: Constants
    makers: Mapping[str, Op] = field(init=False)
    readers: Mapping[str, list[Op]] = field(init=False)
    uses: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        ops = self.graph.ops
        self.makers = {tensor: op for op in ops for tensor in op.outputs}
        readers: dict[str, list[Op]] = {}
        for op in ops:
            for tensor in dict.fromkeys(op.inputs):
                readers.setdefault(tensor, []).append(op)
        self.readers = readers
        self.uses = Counter(weight for op in ops for weight in op.weights)

    def site(self, tensor: str, axis: int, channels: int) -> Site:
        """Return the site of a tensor."""
        growing = _Growing(self, channels)
        growing.add(tensor, axis % len(self._sizes(tensor)))
        while growing.open:
            name = growing.open.pop()
            growing.look_back(name)
            for op in self.readers.get(name, ()):
                growing.look_ahead(name, op)
        return growing.site()

    def _sizes(self, tensor: str) -> tuple[int | None, ...]:
        known = self.graph.tensors[tensor]
        if known.dtype != "float32" or not known.shape:
            raise NotScalable(f"{tensor!r} is {known.dtype} of shape {known.shape}")
        return known.shape

    def check(self, tensor: str, axis: int, channels: int) -> None:
        """Check that a tensor is inside the graph and has that many channels, as far as known."""
        if tensor in self.graph.inputs or tensor in self.graph.outputs:
            raise NotScalable(f"{tensor!r} crosses the model's border")
        sizes = self._sizes(tensor)
        if axis >= len(sizes) or sizes[axis] not in (None, channels):
            raise NotScalable(f"{tensor!r} of shape {sizes} has no {channels} channels at {axis}")


@dataclass
class _Growing:
    """A site while tensors are added to it."""

    search: _Search
    channels: int
    axes: dict[str, int] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    makers: dict[str, None] = field(default_factory=dict)
    readers: dict[str, None] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, Bounds] = field(default_factory=dict)

    def add(self, tensor: str, axis: int) -> None:
        """Add a tensor, to be looked at."""
        if tensor in self.axes:
            if self.axes[tensor] != axis:
                raise NotScalable(f"factors reach {tensor!r} along two axes")
            return
        self.search.check(tensor, axis, self.channels)
        self.axes[tensor] = axis
        self.open.append(tensor)

    def look_back(self, tensor: str) -> None:
        """Find what makes the factors of a tensor, or link what they have to come from."""
        op = self.search.makers[tensor]
        if op.linear is not None:
            self._check_axis(tensor, op.linear.tensor_axis, op)
            self._check_channels(op, output_channels(self.search.constants, op.linear))
            for name in filter(None, (op.linear.weight, op.linear.bias)):
                self._check_unshared(name)
            self.makers[op.name] = None
            return
        scaling = self._scaling(op)
        self._check_axis(tensor, scaling.axis, op)
        for name in scaling.constants:
            self._check_unshared(name)
            self.constants[name] = self._constant_axis(name, tensor, scaling)
        for source in scaling.inputs:
            self.add(source, _mapped(scaling, self.axes[tensor], back=True))
        if scaling.bounds is not None:
            self.bounds[tensor] = scaling.bounds

    def look_ahead(self, tensor: str, op: Op) -> None:
        """Find what undoes the factors of a tensor, or link what they go into."""
        if op.linear is not None and op.inputs == (tensor,):
            self._check_axis(tensor, op.linear.tensor_axis, op)
            self._check_channels(op, input_channels(self.search.constants, op.linear))
            self._check_unshared(op.linear.weight)
            self.readers[op.name] = None
            return
        scaling = self._scaling(op)
        if tensor in scaling.ignores:
            return
        if tensor not in scaling.inputs:
            raise NotScalable(f"operator {op.name!r} takes {tensor!r} at its own scale")
        for made in op.outputs:
            if made in self.search.readers or made in self.search.graph.outputs:
                self.add(made, _mapped(scaling, self.axes[tensor], back=False))

    def _scaling(self, op: Op) -> Scaling:
        if op.scaling is None:
            raise NotScalable(f"operator {op.name!r} ({op.native}) takes no factors on channels")
        return op.scaling

    def _check_axis(self, tensor: str, axis: int | None, op: Op) -> None:
        rank = len(self.search.graph.tensors[tensor].shape or ())
        if axis is not None and axis % rank != self.axes[tensor]:
            raise NotScalable(f"the channels of operator {op.name!r} lie along another axis")

    def _check_channels(self, op: Op, channels: int) -> None:
        if channels != self.channels:
            raise NotScalable(f"operator {op.name!r} has {channels} channels, not {self.channels}")

    def _check_unshared(self, constant: str) -> None:
        if self.search.uses[constant] > 1:
            raise NotScalable(f"the constant {constant!r} is read in several places")

    def _constant_axis(self, name: str, tensor: str, scaling: Scaling) -> int:
        shape = self.search.constants[name].shape
        rank = len(self.search.graph.tensors[tensor].shape or ())
        axis = 0 if scaling.axis is not None else self.axes[tensor] - rank + len(shape)
        if not 0 <= axis < len(shape) or shape[axis] != self.channels:
            raise NotScalable(f"the constant {name!r} has no value of its own for each channel")
        return axis

    def site(self) -> Site:
        """Return what was found."""
        return Site(
            axes=dict(self.axes),
            channels=self.channels,
            makers=tuple(self.makers),
            constants=dict(self.constants),
            readers=tuple(self.readers),
            bounds=dict(self.bounds),
        )


def _mapped(scaling: Scaling, axis: int, *, back: bool) -> int:
    """Return the axis on the other side of an operator."""
    if scaling.axes is None:
        return axis
    pairs: Iterable[tuple[int, int]] = scaling.axes
    table = {made: read for read, made in pairs} if back else dict(pairs)
    if axis not in table:
        raise NotScalable(f"axis {axis} is joined with others or split")
    return table[axis]


def input_channels(constants: Constants, linear: Linear) -> int:
    """Return how many channels a linear operator reads."""
    groups, _, inputs, _ = block_shape(constants[linear.weight].shape, linear)
    return groups * inputs


def output_channels(constants: Constants, linear: Linear) -> int:
    """Return how many channels a linear operator makes."""
    groups, outputs, _, _ = block_shape(constants[linear.weight].shape, linear)
    return groups * outputs


def finite(bound: float) -> bool:
    """Return whether a bound cuts scaled values elsewhere: zero and infinity do not."""
    return bound != 0 and math.isfinite(bound)
