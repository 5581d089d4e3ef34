"""Rewriting a float program into oneDNN's integer operators by a plan.

What is written needs no pattern matching: every planned group becomes the operator that computes
it, the bias, a summand and the activation included. PyTorch runs the graph as it is, and Inductor
compiles what lies between.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from octavo.backends.base import Ranges
from octavo.backends.pytorch.channels import argument, bounds_of, spread
from octavo.backends.pytorch.graph import Chain, find_chains
from octavo.backends.pytorch.kinds import CONVOLUTIONS, native_of
from octavo.backends.pytorch.options import TIED
from octavo.backends.pytorch.program import Program, value_of
from octavo.backends.pytorch.qdq import Integers, Writer, check_plan
from octavo.graph import Graph, Group
from octavo.plan import Format, Plan, Scheme

aten = torch.ops.aten
onednn = torch.ops.onednn
max_pool2d = torch.ops.quantized.max_pool2d.default  # the other one fails on some layouts of bytes
PRODUCTS = frozenset({onednn.qconv_pointwise.default, onednn.qconv2d_pointwise.binary})
READERS = PRODUCTS | {max_pool2d, torch.ops.quantized_decomposed.dequantize_per_tensor.default}
"""Operators that keep no view of what they read."""
UNUSED = [0.0]
"""The numbers of an activation that takes none: torch.export cannot save an empty list of them."""
NO_ACTIVATION = ("none", UNUSED, "")
FLOAT_OUTPUT = (1.0, 0, torch.float32)


def build(program: Program, graph: Graph, plan: Plan, ranges: Ranges) -> Program:
    """Return the program that computes the planned groups on integers.

    Raises:
        ModelError: the plan does not fit the program, or a range is missing.
    """
    check_plan(graph, plan)
    writer = Writer(program, graph.planned(plan), ranges)
    chains = {chain.head.name: chain for chain in find_chains(program)}
    members = {node: group for group, chain in chains.items() for node in chain.nodes}
    for node in program.graph.nodes:
        group = members.get(node)
        if node.op in ("get_attr", "output"):
            continue
        if group is None or plan.format(group).is_float:
            writer.copy(node, group or "")
        elif node is chains[group].tail:
            _GroupWriter(writer, graph.group_by_id[group], chains[group], plan.format(group)).run()
    built = writer.finish()
    _add_in_place(built.graph)
    return built


def _add_in_place(graph: fx.Graph) -> None:
    """Leave out copies of summands that nothing reads once a convolution has added to them."""
    places = {node: place for place, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        source: Any = node.args[0] if node.args else None
        if node.target is not aten.clone.default or source.target not in PRODUCTS:
            continue
        (kernel,) = node.users
        others = [user for user in source.users if user is not node]
        if all(user.target in READERS and places[user] < places[kernel] for user in others):
            node.replace_all_uses_with(source)
            graph.erase_node(node)


class _GroupWriter:
    """Appends one group in integers."""

    def __init__(self, writer: Writer, group: Group, chain: Chain, chosen: Format) -> None:
        self.writer = writer
        self.group = group
        self.chain = chain
        self.chosen = chosen
        self.schemes = dict(zip(chain.inputs, chosen.inputs, strict=True))
        self.output: Scheme | None = chosen.outputs[0]

    def run(self) -> None:
        """Append it."""
        native = native_of(self.chain.head)
        if self.chosen.weight is not None:
            self._product(native)
        elif native in TIED:
            self._move()
        else:
            self._between()

    def _move(self) -> None:
        """Append an operator that runs on integers as they are."""
        writer, node = self.writer, self.chain.tail
        assert self.output is not None
        sources = {one: writer.quantized(one, scheme) for one, scheme in self._quantized()}
        given = {one: made.node for one, made in sources.items()}
        name = f"{node.name}_quantized"
        if native_of(node) == "max_pool2d":
            (source,) = given.values()
            moved = writer.call(max_pool2d, (source, *_pool(node)), name, self.group.id)
        else:
            moved = writer.adapted(node, given, name, self.group.id)
        scale, zero_point = writer.scale_of(node.name, self.output)
        writer.made_integers(node, Integers(moved, scale, zero_point))

    def _quantized(self) -> list[tuple[fx.Node, Scheme]]:
        return [(one, scheme) for one, scheme in self.schemes.items() if scheme is not None]

    def _between(self) -> None:
        """Append float operators between integers, which a compiler makes one loop of."""
        given = {one: self.writer.rounded(one, scheme) for one, scheme in self._quantized()}
        self._rest(self.chain.nodes, given)

    def _rest(self, nodes: tuple[fx.Node, ...], given: dict[fx.Node, fx.Node]) -> None:
        """Append float operators, and a quantizer where the output has a scheme."""
        for node in nodes:
            name = node.name if self.output is None else f"{node.name}_real"
            given[node] = self.writer.adapted(node, given, name, self.group.id)
        self.writer.leave(self.chain.tail, given[self.chain.tail], self.output)

    def _product(self, native: str) -> None:
        """Append a convolution or a linear layer with all that its kernel computes."""
        rest = self.chain.nodes[1:]
        if rest and native_of(rest[0]) == "add" and native in CONVOLUTIONS:
            summand = next(one for one in rest[0].all_input_nodes if one is not self.chain.head)
            if self.output is not None and self._kernel_adds(summand):
                self._sum(summand, rest[1:])
                return
            product = self._kernel(native, FLOAT_OUTPUT, NO_ACTIVATION, "_product")
            given = {self.chain.head: product}
            scheme = self.schemes.get(summand)
            given[summand] = (
                self.writer.real(summand)
                if scheme is None
                else self.writer.rounded(summand, scheme)
            )
            self._rest(rest, given)
            return
        activation = activation_of(rest[0]) if rest else NO_ACTIVATION
        self._finish(lambda output, name: self._kernel(native, output, activation, name))

    def _finish(self, kernel: Any) -> None:
        node, writer = self.chain.tail, self.writer
        if self.output is None:
            writer.placed[node] = kernel(FLOAT_OUTPUT, node.name)
            return
        scale, zero_point = writer.scale_of(node.name, self.output)
        made = kernel((scale, zero_point, torch.uint8), f"{node.name}_quantized")
        writer.made_integers(node, Integers(made, scale, zero_point))

    def _kernel_adds(self, summand: fx.Node) -> bool:
        """Return whether the kernel adds the summand: it has two spatial axes and is integer."""
        return native_of(self.chain.head) == "conv2d" and self.schemes.get(summand) is not None

    def _kernel(
        self, native: str, output: tuple[Any, ...], activation: tuple[Any, ...], name: str
    ) -> fx.Node:
        if not name.startswith(self.chain.tail.name):
            name = f"{self.chain.head.name}{name}"
        if self.chosen.compute == "int8_dynamic":
            operator, entering = onednn.qlinear_pointwise.tensor, self._dynamic()
        else:
            source = self._source()
            entering = (source.node, source.scale, source.zero_point)
            linear = onednn.qlinear_pointwise.default
            operator = linear if native == "linear" else onednn.qconv_pointwise.default
        args = (*entering, *self._constants(entering), *self._geometry(), *output, *activation)
        return self.writer.call(operator, args, name, self.group.id)

    def _dynamic(self) -> tuple[fx.Node, ...]:
        return self.writer.dynamic(self.chain.inputs[0])

    def _source(self) -> Integers:
        node: Any = self.chain.head.args[0]
        scheme = self.schemes[node]
        assert scheme is not None
        return self.writer.quantized(node, scheme)

    def _constants(self, entering: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the packed weight, its scales and zero points, and the bias."""
        head, writer = self.chain.head, self.writer
        weight: Any = head.args[1]
        assert self.chosen.weight is not None
        integers, scale, zero_point = writer.weight(str(weight.target), self.chosen.weight)
        name = f"{head.name}_packed"
        if native_of(head) == "linear":
            packed = writer.call(onednn.qlinear_prepack.default, (integers, None), name)
        else:
            args = (integers, scale, *entering[1:3], *self._geometry(), None)
            packed = writer.call(onednn.qconv_prepack.default, args, name)
        bias = argument(head, 2, "bias")
        return packed, scale, zero_point, None if bias is None else writer.real(bias)

    def _geometry(self) -> tuple[Any, ...]:
        """Return strides, padding, dilations and groups of a convolution."""
        head = self.chain.head
        if native_of(head) == "linear":
            return ()
        rank = len(value_of(head).shape) - 2
        return (
            list(spread(argument(head, 3, "stride", 1), rank)),
            list(spread(argument(head, 4, "padding", 0), rank)),
            list(spread(argument(head, 5, "dilation", 1), rank)),
            argument(head, 6, "groups", 1),
        )

    def _sum(self, summand: fx.Node, rest: tuple[fx.Node, ...]) -> None:
        """Append a convolution that adds to its summand, in the summand's own memory."""
        scheme = self.schemes[summand]
        assert scheme is not None
        source, added = self._source(), self.writer.quantized(summand, scheme)
        # others may read the summand, or its memory: the kernel gets a copy to write into
        copied = self.writer.call(
            aten.clone.default,
            (added.node,),
            f"{self.group.id}_summand",
            self.group.id,
            memory_format=torch.channels_last,
        )
        entering = (source.node, source.scale, source.zero_point)
        packed, scale, zero_point, bias = self._constants(entering)
        activation = ("relu", UNUSED, "") if rest else NO_ACTIVATION

        def kernel(output: tuple[Any, ...], name: str) -> fx.Node:
            args = (*entering, packed, scale, zero_point, copied, bias, *self._geometry(), *output,
                    added.scale, added.zero_point, "sum", 1.0, *activation)  # fmt: skip
            operator = onednn.qconv2d_pointwise.binary
            return self.writer.call(operator, args, name, self.group.id)

        self._finish(kernel)


def _pool(node: fx.Node) -> tuple[Any, ...]:
    """Return windows, strides, padding and dilations of a pool, and whether windows may be cut."""
    kernel = spread(node.args[1], 2)
    strides = argument(node, 2, "stride") or kernel
    lists = [kernel, *(spread(one, 2) for one in (
        strides, argument(node, 3, "padding", 0), argument(node, 4, "dilation", 1)
    ))]  # fmt: skip
    return *map(list, lists), argument(node, 5, "ceil_mode", False)


def activation_of(node: fx.Node) -> tuple[Any, ...]:
    """Return an activation as oneDNN's operators take it: a name, numbers and an algorithm."""
    native = native_of(node)
    if native in ("hardtanh", "relu6"):
        return "hardtanh", list(bounds_of(node)), ""
    if native == "gelu":
        return "gelu", UNUSED, argument(node, 1, "approximate", "none")
    if native == "silu":
        return "swish", UNUSED, ""
    return native, UNUSED, ""
