"""The forms of a network that the benchmark of speed compares, and how good Octavo's is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.inputs import random_inputs
from benchmarks.networks import NETWORKS, VARIANTS
from benchmarks.peers.task import single
from octavo.arrays import Array, Batch
from octavo.backends.base import Audit, Backend
from octavo.backends.onnxruntime.load import native, wrap
from octavo.backends.onnxruntime.mend import keep_layer_normalization
from octavo.backends.registry import get_backend
from octavo.data.base import Role
from octavo.data.digits import DigitScenes
from octavo.graph import Graph
from octavo.measure import Energy, Statistics, tied_ranges
from octavo.model import Model
from octavo.plan import Recipe
from octavo.search.initial import Approach, InitialPlan, initial_plan, wanted_tensors
from octavo.target import Target

SCENES = Path(__file__).parent.parent / "examples" / "digits" / "scenes.onnx"
SAMPLES: dict[Role, int] = {"calibration": 8, "evaluation": 4}
GOAL = 0.95


@dataclass(frozen=True)
class Quantized:
    """Octavo's form of a network.

    Attributes:
        model: the INT8 model.
        chosen: the plan that made it, with reasons for what stays float.
        graph: the float model in neutral terms.
    """

    model: Model
    chosen: InitialPlan
    graph: Graph


def names() -> list[str]:
    """Return what is measured by default: the demo's network and the full-size ones."""
    return ["scenes", *NETWORKS]


def network(name: str) -> onnx.ModelProto:
    """Return a network by name."""
    return onnx.load(SCENES) if name == "scenes" else {**NETWORKS, **VARIANTS}[name]()


def data(name: str, model: Model, role: Role) -> Batch:
    """Return samples for a network: digits for the demo's, random ones for random weights."""
    count = SAMPLES[role]
    if name == "scenes":
        return next(DigitScenes(model.inputs[0], role, count).batches(count)).inputs
    return random_inputs(model.inputs, count, seed=list(SAMPLES).index(role))


def mended(model: Model) -> Model:
    """Return the float model with Octavo's float mends alone."""
    changed = native(model).canonical.clone()
    keep_layer_normalization(changed.graph)
    return wrap(changed, model)


def octavo_int8(
    backend: Backend, model: Model, approach: Approach, calibration: Batch, target: Target
) -> Quantized:
    """Return Octavo's first plan in the form that it builds."""
    graph = backend.graph(model, target)
    chosen = initial_plan(graph, approach=approach)
    schemes = wanted_tensors(graph, [chosen.plan])
    statistics = Statistics(schemes)
    if schemes:
        backend.observe(model, single(calibration), statistics, target)
    ranges = tied_ranges(statistics, graph.planned(chosen.plan), Recipe(), schemes)
    return Quantized(backend.build(model, chosen.plan, ranges, target), chosen, graph)


def int8_share(quantized: Quantized, audits: Sequence[Audit]) -> dict[str, Any]:
    """Return which share of the linear multiply-adds was executed in INT8, and what was not."""
    macs = {group.id: group.macs for group in quantized.graph.groups if group.macs}
    total = sum(macs.values())
    left = [audit for audit in audits if audit.group in macs and not _is_int8(audit)]
    share = 1 - sum(macs[audit.group] for audit in left) / total
    return {
        "share": share,
        "met": share >= GOAL,
        "exceptions": _by_reason(left, quantized, {name: n / total for name, n in macs.items()}),
    }


def _is_int8(audit: Audit) -> bool:
    return audit.executed in ("int8", "int8_dynamic")


def _by_reason(
    audits: Iterable[Audit], quantized: Quantized, shares: Mapping[str, float]
) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for audit in audits:
        group = quantized.graph.group_by_id[audit.group]
        planned = quantized.chosen.reasons.get(group.id)
        reason = audit.reason or planned or group.refusal or "no reason was given"
        found.setdefault(reason, []).append(group.id)
    return [
        {"reason": reason, "share": sum(shares[name] for name in groups), "groups": groups}
        for reason, groups in found.items()
    ]


def run_all(backend: Backend, model: Model, batch: Batch, target: Target) -> list[Array]:
    """Run the samples of a batch one by one and return the outputs of all."""
    session = backend.open(model, target)
    results = [session.run(one) for one in single(batch)]
    return [np.concatenate([result[spec.name] for result in results]) for spec in model.outputs]


def sqnr_db(expected: Sequence[Array], got: Sequence[Array]) -> list[float | None]:
    """Return the signal-to-quantization-noise ratio of every output, in decibels.

    None stands for outputs that are equal and for those of which there are more or fewer, as boxes
    that were kept.
    """
    pairs = zip(expected, got, strict=True)
    return [_decibels(f, q) for f, q in pairs]


def _decibels(expected: Array, got: Array) -> float | None:
    if expected.shape != got.shape or np.array_equal(expected, got):
        return None
    return round(Energy.of(expected, got).sqnr_db, 1)


def load(path: Path) -> tuple[Backend, Model]:
    """Return the backend and the float model."""
    backend = get_backend("onnxruntime")
    return backend, backend.load(path)
