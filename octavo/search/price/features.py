"""What the time of a plan is made of: groups in their formats, and borders between them.

A feature is a name with an amount. Every group is one feature, shared by all groups of its pattern
in the same `octavo.search.space.Variant`. A border is counted where numbers change their form on
the way from a group to a reader: in elements, told apart by what lies on both sides, since runtimes
keep the values between convolutions in a layout of their own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from octavo.graph import Graph, Group
from octavo.plan import FP32, Format, Plan
from octavo.search.space import Variant, variant

Side: TypeAlias = Literal["spatial", "flat"]
"""Whether a group works on windows of positions, or not."""

Action: TypeAlias = Literal["quantize", "dequantize", "reorder", "reorder-int8"]

SPATIAL = frozenset({"conv", "conv_transpose", "pool"})
MILLION = 1e6
RUN = "run"
"""The feature that every plan has once: what a run costs beside its kernels."""


def group_feature(group: Group, chosen: Format) -> str:
    """Return the feature of a group in a format; equal patterns share it."""
    return variant_feature(group, variant(chosen))


def variant_feature(group: Group, one: Variant) -> str:
    """Return the feature of a group in a variant."""
    compute, inputs, outputs = one
    if compute in ("fp32", "bf16"):
        return f"{pattern_key(group)} {compute}"
    masks = ("".join("q" if flag else "-" for flag in flags) for flags in (inputs, outputs))
    return f"{pattern_key(group)} {compute} {'>'.join(masks)}"


def pattern_key(group: Group) -> str:
    """Return a short name of a group's pattern that is the same in every run."""
    digest = hashlib.sha256((group.pattern or group.id).encode()).hexdigest()[:16]
    return f"{group.kind}-{digest}"


def side(group: Group | None) -> Side:
    """Return on which side of a border a group lies; None is a model's input or output."""
    return "spatial" if group is not None and group.kind in SPATIAL else "flat"


def border(action: Action, made: Side, read: Side) -> str:
    """Return the feature of a border; its amount is in millions of elements."""
    return f"{action} {made}>{read}"


def is_border(feature: str) -> bool:
    """Return whether a feature is a border."""
    return ">" in feature and feature.split(" ")[0] in _ACTIONS


_ACTIONS = frozenset({"quantize", "dequantize", "reorder", "reorder-int8"})


def millions(graph: Graph, tensor: str) -> float:
    """Return how many million elements a tensor has at the target's shapes."""
    shape = graph.tensors[tensor].shape
    return math.prod(size or 1 for size in shape) / MILLION if shape else 1 / MILLION


def makes_integers(group: Group | None, chosen: Format, tensor: str) -> bool:
    """Return whether a group in a format leaves a tensor in integers."""
    if group is None or chosen.compute != "int8":
        return False
    return chosen.outputs[group.outputs.index(tensor)] is not None


def asks_integers(reader: Group, chosen: Format, tensor: str) -> bool:
    """Return whether a group in a format reads a tensor as integers."""
    if chosen.compute != "int8":
        return False
    return chosen.inputs[reader.inputs.index(tensor)] is not None


def features(graph: Graph, plan: Plan) -> dict[str, float]:
    """Return the amount of every feature of a plan."""
    found = {RUN: 1.0}
    for group in graph.groups:
        name = group_feature(group, plan.format(group.id))
        found[name] = found.get(name, 0.0) + 1
    return found | border_features(graph, plan)


def border_features(graph: Graph, plan: Plan) -> dict[str, float]:
    """Return the amounts of the borders of a plan alone."""
    found: dict[str, float] = {}
    for name, amount in _borders(graph, plan.formats):
        found[name] = found.get(name, 0.0) + amount
    return found


def _borders(graph: Graph, formats: Mapping[str, Format]) -> Iterator[tuple[str, float]]:
    for tensor in graph.tensors:
        producer = graph.producer.get(tensor)
        readers = graph.consumers.get(tensor, ())
        if producer is None and not readers:
            continue
        chosen = formats.get(producer.id, FP32) if producer else FP32
        integers = makes_integers(producer, chosen, tensor)
        asking = [asks_integers(one, formats.get(one.id, FP32), tensor) for one in readers]
        made, amount = side(producer), millions(graph, tensor)
        if not integers and any(asking):
            asked = [one for one, asks in zip(readers, asking, strict=True) if asks]
            yield border("quantize", made, sides(asked)), amount
        for reader, asks in zip(readers, asking, strict=True):
            if integers and not asks:
                yield border("dequantize", made, side(reader)), amount
            elif side(reader) != made and producer is not None and integers == asks:
                action: Action = "reorder-int8" if integers else "reorder"
                yield border(action, made, side(reader)), amount
        if integers and tensor in graph.outputs:
            yield border("dequantize", made, "flat"), amount


def sides(readers: list[Group]) -> Side:
    """Return on which side readers lie that share one quantizer."""
    return "spatial" if any(side(one) == "spatial" for one in readers) else "flat"
