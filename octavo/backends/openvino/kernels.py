"""What OpenVINO executes, read back from a compiled model that has run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import openvino as ov

from octavo.arrays import Array, Batch
from octavo.backends.openvino.run import OpenVinoSession
from octavo.model import Model
from octavo.target import Target

INTEGERS = frozenset({"u8", "i8"})
CLOCK = 1e-6
"""OpenVINO's clock of kernels counts whole microseconds and drops the rest of each."""


@dataclass(frozen=True)
class Edge:
    """A value that a kernel reads.

    Attributes:
        kernel: the name of the kernel that made it.
        dtype: its element type as OpenVINO names it: `u8`, `i8`, `f32`, `bf16`, ...
    """

    kernel: str
    dtype: str

    @property
    def integer(self) -> bool:
        """Whether it holds 8-bit integers."""
        return self.dtype in INTEGERS


@dataclass(frozen=True)
class Kernel:
    """One node of the graph that OpenVINO executes.

    Attributes:
        name: its name.
        kind: OpenVINO's type of it: `Convolution`, `FullyConnected`, `Subgraph`, `Reorder`, ...
        implementation: the name of the code that ran, for example `brgconv_avx512_I8`.
        precision: the type it computes in as OpenVINO tells it, of its first input.
        layers: names of the layers of the model that were fused into it, in their order; layers
            that OpenVINO rewrote are missing or have a suffix.
        inputs: what it reads, in the order of its ports, constants too.
        outputs: the types of what it makes.
        seconds: mean time per run; 0 where it does nothing, as most reshapes do.
    """

    name: str
    kind: str
    implementation: str
    precision: str
    layers: tuple[str, ...]
    inputs: tuple[Edge, ...]
    outputs: tuple[str, ...]
    seconds: float

    @property
    def makes_integers(self) -> bool:
        """Whether all that leaves it is 8-bit integers."""
        return bool(self.outputs) and set(self.outputs) <= INTEGERS


@dataclass(frozen=True)
class Profile:
    """What became of a batch.

    Attributes:
        kernels: those that ran, in their order.
        outputs: what the model returned, by name.
    """

    kernels: tuple[Kernel, ...]
    outputs: Mapping[str, Array]


def profile_session(model: Model, batch: Batch, target: Target, runs: int) -> Profile:
    """Run a model on a batch with OpenVINO's performance counters; the first run is not counted."""
    session = OpenVinoSession(model, target, profile=True)
    outputs = session.run(batch)
    request = session.request(batch)
    first = _means(request)
    for _ in range(runs):
        session.run(batch)
    seconds = {
        name: _without_first(mean, first.get(name, mean), runs)
        for name, mean in _means(request).items()
    }
    ran = {name: max(seconds.get(name, 0.0), 0.0) + CLOCK / 2 for name in first}
    graph = request.get_compiled_model().get_runtime_model()
    return Profile(tuple(_kernel(node, ran) for node in graph.get_ordered_ops()), outputs)


def _means(request: ov.InferRequest) -> dict[str, float]:
    """Return the mean time of every kernel that did something, over all runs so far."""
    return {
        info.node_name: info.real_time.total_seconds()
        for info in request.profiling_info
        if info.status == ov.ProfilingInfo.Status.EXECUTED
    }


def _without_first(mean: float, first: float, runs: int) -> float:
    return (mean * (runs + 1) - first) / runs


def _kernel(node: ov.Node, seconds: Mapping[str, float]) -> Kernel:
    told = {key: str(value.astype(str)) for key, value in node.get_rt_info().items()}
    name = node.get_friendly_name()
    return Kernel(
        name=name,
        kind=told["layerType"],
        implementation=told["primitiveType"],
        precision=told["runtimePrecision"],
        layers=tuple(layer for layer in told["originalLayersNames"].split(",") if layer),
        inputs=tuple(_edge(port) for port in node.inputs()),
        outputs=tuple(port.get_element_type().to_string() for port in node.outputs()),
        seconds=seconds.get(name, 0.0),
    )


def _edge(port: ov.Input) -> Edge:
    producer = port.get_source_output().get_node()
    return Edge(producer.get_friendly_name(), port.get_element_type().to_string())
