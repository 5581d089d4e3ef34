"""The float oracle of a plan: float operators on values that went through integers and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from octavo.backends.base import Ranges
from octavo.backends.pytorch.graph import Chain, find_chains
from octavo.backends.pytorch.program import Program
from octavo.backends.pytorch.qdq import LIMITS, Writer, check_plan, quantized
from octavo.graph import Graph, Group
from octavo.plan import Format, Plan, Scheme


def reference(program: Program, graph: Graph, plan: Plan, ranges: Ranges) -> Program:
    """Return the float oracle of what `rewrite.build` returns.

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
            _write(writer, graph.group_by_id[group], chains[group], plan.format(group))
    return writer.finish()


def _write(writer: Writer, group: Group, chain: Chain, chosen: Format) -> None:
    """Append the float operators of one group between quantizers."""
    given = {
        node: _round_trip(writer, node, scheme, chosen)
        for node, scheme in zip(chain.inputs, chosen.inputs, strict=True)
        if scheme is not None
    }
    if chosen.weight is not None:
        weight: Any = chain.head.args[1]
        given[weight] = _rounded_weight(writer, chain.head, chosen.weight)
    (scheme,) = chosen.outputs
    for node in chain.nodes:
        name = node.name if scheme is None else f"{node.name}_real"
        given[node] = writer.adapted(node, given, name, group.id)
    writer.leave(chain.tail, given[chain.tail], scheme)


def _round_trip(writer: Writer, node: fx.Node, scheme: Scheme, chosen: Format) -> fx.Node:
    if chosen.compute == "int8":
        return writer.rounded(node, scheme)
    made, scale, zero_point = writer.dynamic(node)
    args = (made, scale, zero_point, *LIMITS)
    return writer.call(quantized.dequantize_per_tensor.tensor, args, f"{node.name}_edge")


def _rounded_weight(writer: Writer, node: fx.Node, scheme: Scheme) -> fx.Node:
    weight: Any = node.args[1]
    integers, scale, zero_point = writer.weight(str(weight.target), scheme)
    args = (integers, scale, zero_point, 0, scheme.qmin, scheme.qmax, torch.int8)
    return writer.call(quantized.dequantize_per_channel.default, args, f"{node.name}_weight")
