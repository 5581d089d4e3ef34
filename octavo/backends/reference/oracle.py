"""The float oracle of a plan: float layers on values that went through integers and back."""

from __future__ import annotations

from dataclasses import replace

from octavo.arrays import Array
from octavo.backends.base import Ranges
from octavo.backends.reference.execute import Program
from octavo.backends.reference.network import Layer, Network
from octavo.backends.reference.rewrite import Rewriter, checked_formats, integer_name
from octavo.graph import Graph, Group
from octavo.measure.quantization import dequantize
from octavo.measure.weights import quantize_weight
from octavo.plan import Format, Plan, Scheme


def reference(network: Network, graph: Graph, plan: Plan, ranges: Ranges) -> Program:
    """Return the float oracle of what `rewrite.build` returns.

    Raises:
        ModelError: the plan does not fit the network, or a range is missing.
    """
    rewriter = Rewriter(network, graph, ranges)
    formats = checked_formats(graph, plan)
    for group in graph.groups:
        _float_group(rewriter, group, formats[group.id])
    return rewriter.program()


def _float_group(rewriter: Rewriter, group: Group, chosen: Format) -> None:
    """Append the float layers of one group, with values and weight rounded as planned."""
    main, *fused = (rewriter.layer(name) for name in group.ops)
    tensor, output = group.outputs[0], next(iter(chosen.outputs), None)
    schemes = chosen.inputs or (None,) * len(main.inputs)
    inputs = tuple(
        _round_trip(rewriter, name, chosen) if scheme else name
        for name, scheme in zip(main.inputs, schemes, strict=True)
    )
    weights = _rounded_weight(rewriter.network, main, chosen.weight)
    changed = replace(main, inputs=inputs, weights=tuple(weights))
    *others, last = [changed, *fused]
    for layer in others:
        rewriter.add(layer, weights)
    rewriter.add(replace(last, output=f"{tensor}:float") if output else last, weights)
    if output:
        rewriter.quantized(tensor, output, source=f"{tensor}:float")
        rewriter.dequantized(tensor, tensor)


def _round_trip(rewriter: Rewriter, tensor: str, chosen: Format) -> str:
    """Return the name of a tensor's rounded values, appending what makes them where it is new."""
    made = {layer.output for layer in rewriter.layers}
    if chosen.compute == "int8_dynamic":
        edge = f"{tensor}:dynamic"
        if edge not in made:
            rewriter.add(Layer(edge, "dynamic_round_trip", (tensor,), edge), {})
        return edge
    edge = f"{tensor}:edge"
    if integer_name(tensor) in made:  # by the group that made it, or by an earlier reader
        return edge if edge in made else tensor
    rewriter.quantized(tensor, next(scheme for scheme in chosen.inputs if scheme))
    rewriter.dequantized(tensor, edge)
    return edge


def _rounded_weight(network: Network, layer: Layer, scheme: Scheme | None) -> dict[str, Array]:
    """Return a layer's constants by name, the weight after a round trip through integers."""
    constants = {name: network.weights[name] for name in layer.weights}
    if scheme is None:
        return constants
    weight, *bias = constants.items()
    integers, quantization = quantize_weight(weight[1], scheme)
    rounded = dequantize(integers, quantization, scheme.axis)
    return {f"{layer.name}:weight:rounded": rounded, **dict(bias)}
