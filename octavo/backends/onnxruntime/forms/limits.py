"""Intervals of a tensor beyond which its readers cannot tell values apart."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from octavo.backends.onnxruntime.forms.hard import hard_bounds
from octavo.graph import Graph
from octavo.plan import Plan, Range

HARD = frozenset({"HardSigmoid", "HardSwish"})


def find_limits(graph: Graph, plan: Plan, nodes: Mapping[str, ir.Node]) -> dict[str, Range]:
    """Return the interval that matters of tensors that only quantized hard activations read.

    HardSwish is zero below -3: integers for what lies there would be lost.

    Args:
        graph: the model.
        plan: the plan.
        nodes: the main node of every group, by its id.
    """
    found = {}
    for tensor, readers in graph.consumers.items():
        free = tensor not in graph.outputs and graph.tensors[tensor].tie is None
        hard = all(nodes[r.id].op_type in HARD and not plan.format(r.id).is_float for r in readers)
        if free and hard:
            bounds = [hard_bounds(nodes[reader.id]) for reader in readers]
            found[tensor] = Range(min(low for low, _ in bounds), max(high for _, high in bounds))
    return found
