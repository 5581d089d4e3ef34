"""What the tests of the ONNX Runtime backend share: a model taken through every step."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from networks import Builder
from onnx import numpy_helper

from octavo.arrays import Array, Batch
from octavo.backends.base import Audit
from octavo.backends.onnxruntime import OnnxRuntimeBackend
from octavo.backends.onnxruntime.load import native, wrap
from octavo.graph import Graph
from octavo.measure import Statistics, quantization_of, tied_ranges
from octavo.model import Model
from octavo.plan import U8, Format, Plan, Range, Recipe
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.target import Cpu, Target

BACKEND = OnnxRuntimeBackend()
TARGET = Target(threads=1)
VNNI = Target(threads=1, cpu=Cpu("modern", "x86_64", frozenset({"avx512_vnni"}), 2))
NO_VNNI = Target(threads=1, cpu=Cpu("older", "x86_64", frozenset({"avx2"}), 2))


def noise(*shape: int, seed: int = 0) -> Array:
    """Return normal noise."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def images(samples: int = 4, channels: int = 3, size: int = 8) -> Batch:
    """Return noise as the input `image`."""
    return {"image": noise(samples, channels, size, size)}


def rows(samples: int = 4, width: int = 16) -> Batch:
    """Return noise as the input `rows`."""
    return {"rows": noise(samples, width)}


def words(samples: int = 4, length: int = 8, vocabulary: int = 1024) -> Batch:
    """Return random indices as the input `ids`."""
    return {"ids": np.random.default_rng(0).integers(0, vocabulary, (samples, length))}


def sqnr(reference: Array, other: Array) -> float:
    """Return the signal to quantization noise ratio in dB."""
    error = np.sum(np.square(reference - other, dtype=np.float64))
    signal = np.sum(np.square(reference, dtype=np.float64))
    return float(10 * np.log10(signal / max(error, 1e-30)))


def run(model: Model, batch: Batch, backend: OnnxRuntimeBackend = BACKEND) -> dict[str, Array]:
    """Run one batch."""
    return backend.open(model, TARGET).run(batch)


def canonical(model: Model) -> ir.Graph:
    """Return the graph that everything is decided on."""
    return native(model).canonical.graph


def run_canonical(model: Model, batch: Batch) -> dict[str, Array]:
    """Run one batch through the canonical form."""
    return run(wrap(native(model).canonical, model), batch)


def written(model: Model) -> onnx.ModelProto:
    """Return the protobuf that ONNX Runtime gets."""
    return ir.to_proto(native(model).original)


def optimized(model: Model) -> list[str]:
    """Return the operator types that are left when ONNX Runtime has optimized a model."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        content = written(model).SerializeToString()
        ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return [node.op_type for node in onnx.load(path).graph.node]


def all_static(graph: Graph, *kept: str) -> Plan:
    """Return the plan that gives every group but `kept` the first form that keeps integers."""
    formats: dict[str, Format] = {}
    for group in graph.groups:
        usable = [f for f in group.formats if f.compute in ("int8", "int8_weight")]
        if usable and group.id not in kept:
            formats[group.id] = usable[0]
    return Plan(formats)


@dataclass(frozen=True, repr=False)
class Case:
    """A float model, a plan for it, and what comes of it; ranges are measured on `batch`.

    `backend` is ONNX Runtime's, or another runtime of the same models.
    """

    model: Model
    plan: Plan
    batch: Batch
    target: Target = TARGET
    backend: OnnxRuntimeBackend = BACKEND

    def __repr__(self) -> str:
        nodes = written(self.model).graph.node
        lines = [
            f"{n.op_type} {n.name}({', '.join(n.input)}) -> {', '.join(n.output)}" for n in nodes
        ]
        plan = [f"{name}: {value}" for name, value in self.plan.formats.items()]
        return "\n".join(["Case", *lines, *plan])

    @cached_property
    def graph(self) -> Graph:
        return self.backend.graph(self.model, self.target)

    @cached_property
    def ranges(self) -> dict[str, Range]:
        schemes = wanted_tensors(self.graph, [self.plan])
        statistics = Statistics(schemes)
        self.backend.observe(self.model, [self.batch], statistics, self.target)
        return tied_ranges(statistics, self.graph.planned(self.plan), Recipe(), schemes)

    @cached_property
    def built(self) -> Model:
        return self.backend.build(self.model, self.plan, self.ranges, self.target)

    @cached_property
    def nodes(self) -> list[onnx.NodeProto]:
        return list(written(self.built).graph.node)

    @cached_property
    def audit(self) -> dict[str, Audit]:
        found = self.backend.audit(self.model, self.plan, self.built, self.batch, self.target)
        return {entry.group: entry for entry in found}

    @property
    def failures(self) -> dict[str, str | None]:
        """Reasons of the quantized groups that did not execute as the plan asks."""
        asked = (entry for entry in self.audit.values() if not entry.requested.is_float)
        return {e.group: e.reason for e in asked if e.executed != e.requested.compute}

    @cached_property
    def float_outputs(self) -> dict[str, Array]:
        return run(self.model, self.batch, self.backend)

    @cached_property
    def int8_outputs(self) -> dict[str, Array]:
        return run(self.built, self.batch, self.backend)

    @cached_property
    def reference_outputs(self) -> dict[str, Array]:
        oracle = self.backend.reference(self.model, self.plan, self.ranges, self.target)
        return run(oracle, self.batch, self.backend)

    def step(self, tensor: str) -> float:
        """Return the size of one integer step of a quantized tensor."""
        return float(quantization_of(self.ranges[tensor], U8).scale)

    def steps_from_reference(self, tensor: str) -> float:
        """Return the largest distance from the reference, in integer steps of an output."""
        distance = np.abs(self.int8_outputs[tensor] - self.reference_outputs[tensor])
        return float(distance.max()) / self.step(tensor)

    def sqnr(self, tensor: str) -> float:
        """Return the SQNR of the INT8 model against the float model, at one output."""
        return sqnr(self.float_outputs[tensor], self.int8_outputs[tensor])

    def reference_sqnr(self, tensor: str) -> float:
        """Return the SQNR of the INT8 model against the reference, at one output."""
        return sqnr(self.reference_outputs[tensor], self.int8_outputs[tensor])


def static_case(
    proto: onnx.ModelProto,
    batch: Batch,
    *kept: str,
    target: Target = TARGET,
    backend: OnnxRuntimeBackend = BACKEND,
) -> Case:
    """Return the case in which every group that can is static INT8, but those in `kept`."""
    model = backend.load(proto)
    plan = all_static(backend.graph(model, target), *kept)
    return Case(model, plan, batch, target, backend)


def image_case(
    b: Builder,
    *outputs: str,
    kept: Sequence[str] = (),
    batch: Batch | None = None,
    target: Target = TARGET,
) -> Case:
    """Return the static case of a network with these outputs that reads 8x8 images."""
    proto = b.ending(*outputs, image=["batch", 3, 8, 8])
    return static_case(proto, batch or images(), *kept, target=target)


def planned_case(
    proto: onnx.ModelProto,
    batch: Batch,
    *,
    backend: OnnxRuntimeBackend = BACKEND,
    **options: object,
) -> Case:
    """Return the case of the plan that `initial_plan` makes with `options`."""
    model = backend.load(proto)
    plan = initial_plan(backend.graph(model, TARGET), **options).plan
    return Case(model, plan, batch, backend=backend)


def constants(model: Model) -> dict[str, Array]:
    """Return the constants that ONNX Runtime gets."""
    return {t.name: numpy_helper.to_array(t) for t in written(model).graph.initializer}
