"""The backend itself: what is not delegated here is as in ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from octavo.arrays import Batch
from octavo.backends.base import Audit, Feature, KernelTime, Ranges, Session
from octavo.backends.onnxruntime import OnnxRuntimeBackend, rewrite
from octavo.backends.onnxruntime import graph as onnx_graph
from octavo.backends.onnxruntime import load as onnx_load
from octavo.backends.onnxruntime import run as onnx_run
from octavo.backends.openvino import audit, load, run
from octavo.backends.openvino.mend import mended
from octavo.backends.openvino.options import DYNAMIC, options
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target


class OpenVinoBackend(OnnxRuntimeBackend):
    """ONNX models in OpenVINO's CPU plugin; see `octavo.backends.base.Backend`."""

    name = "openvino"

    def features(self) -> Mapping[Feature, str | None]:
        """Return what this backend can do, and the reasons where it cannot."""
        return {
            **super().features(),
            "dynamic": DYNAMIC,
            "bf16": "OpenVINO has one precision for all float operators of a model",
            "trains": "OpenVINO's runtime does not train",
        }

    def versions(self) -> Mapping[str, str]:
        """Return the versions of openvino, onnx and onnx-ir, and of what observes the model."""
        return {"openvino": metadata.version("openvino"), **super().versions()}

    def graph(self, model: Model, target: Target) -> Graph:
        """Describe the model in neutral terms, with the formats that OpenVINO runs."""
        return onnx_graph.describe(model, target, options)

    def build(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return the QDQ model, in a form that any OpenVINO computes rightly."""
        built = rewrite.build(model, self.graph(model, target), plan, ranges, plain=True)
        return onnx_load.wrap(mended(onnx_load.native(built).original), built)

    def reference(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return the same QDQ graph, which ONNX Runtime runs as written."""
        graph = self.graph(model, target)
        return rewrite.build(model, graph, plan, ranges, optimize=False, plain=True)

    def open(self, model: Model, target: Target) -> Session:
        """Make a model ready to run; ONNX Runtime runs what must not be optimized."""
        if not model.optimize:
            return onnx_run.open_model(model, target)
        return run.OpenVinoSession(model, target)

    def profile(
        self, model: Model, built: Model, batch: Batch, target: Target
    ) -> Sequence[KernelTime]:
        """Time the kernels of a built model."""
        return audit.profile(self.graph(model, target), built, batch, target)

    def audit(
        self, model: Model, plan: Plan, built: Model, batch: Batch, target: Target
    ) -> Sequence[Audit]:
        """Tell what every group executes."""
        return audit.audit(model, self.graph(model, target), plan, built, batch, target)

    def baselines(self, model: Model, target: Target) -> Mapping[str, Model]:
        """Return the model as OpenVINO runs it by default, and in float32 where that differs."""
        precision = run.default_precision()
        if precision == "f32":
            return {"default": model}
        label = f"{precision.upper()}, OpenVINO's default"
        return {"default": load.with_precision(model, "default", label), "f32": model}

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.onnx` into a folder, and the precision where it is not float32."""
        load.save(model, folder)

    def restore(self, folder: Path, *, trust: bool = False) -> Model:
        """Read what `save` wrote."""
        return load.restore(folder, self.name)
