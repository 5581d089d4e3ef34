"""The backend itself: every method delegates to the file named for its step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import onnx
import onnx_ir as ir

from octavo.arrays import Array, Batch
from octavo.backends.base import Audit, Change, Feature, KernelTime, Observer, Ranges, Session
from octavo.backends.onnxruntime import audit, edit, graph, load, observe, rewrite, run
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target


class OnnxRuntimeBackend:
    """ONNX models in ONNX Runtime's CPU provider; see `octavo.backends.base.Backend`."""

    name = "onnxruntime"

    def features(self) -> Mapping[Feature, str | None]:
        """Return what this backend can do, and the reasons where it cannot."""
        return {
            "static": None,
            "dynamic": None,
            "weight_only": None,
            "bf16": "ONNX Runtime's CPU provider has no BF16 kernels worth using",
            "switches": "the rewriter bakes scales into the graph",
            "trains": "ONNX Runtime's inference package does not train",
        }

    def versions(self) -> Mapping[str, str]:
        """Return the versions of onnxruntime, onnx and onnx-ir."""
        return {name: metadata.version(name) for name in ("onnxruntime", "onnx", "onnx-ir")}

    def owns(self, source: object) -> bool:
        """Return whether `source` is an `.onnx` file, a folder with one, or an ONNX object."""
        if isinstance(source, (str, Path)):
            path = Path(source)
            return path.suffix.lower() == ".onnx" or (path / load.FILE).is_file()
        return isinstance(source, (onnx.ModelProto, ir.Model))

    def load(self, source: object, *, trust: bool = False) -> Model:
        """Load an `.onnx` path, a `ModelProto` or an `onnx_ir.Model`; it never runs code."""
        return load.load(source, self.name)

    def without_quantization(self, model: Model) -> Model:
        """Return the model without its QuantizeLinear and DequantizeLinear."""
        return load.without_quantization(model)

    def graph(self, model: Model, target: Target) -> Graph:
        """Describe the model in neutral terms."""
        return graph.describe(model, target)

    def weights(self, model: Model, names: Iterable[str]) -> dict[str, Array]:
        """Return constants by name."""
        known = load.native(model).canonical.graph.initializers
        return {name: edit.constant(known, name).copy() for name in names}

    def edit(self, model: Model, edits: Sequence[Change]) -> Model:
        """Return a model with other constants, or with products by them put in."""
        return edit.edit(model, edits)

    def observe(
        self, model: Model, batches: Iterable[Batch], observer: Observer, target: Target
    ) -> None:
        """Run the batches and show the observer the tensors it wants."""
        observe.observe(model, batches, observer, target)

    def build(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return the QDQ model that ONNX Runtime runs in INT8."""
        aligned = rewrite.aligns(target)
        return rewrite.build(model, self.graph(model, target), plan, ranges, aligned=aligned)

    def reference(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return the same QDQ graph, run as written: float operators between Q and DQ."""
        return rewrite.build(model, self.graph(model, target), plan, ranges, optimize=False)

    def open(self, model: Model, target: Target) -> Session:
        """Make a model ready to run."""
        return run.open_model(model, target)

    def profile(
        self, model: Model, built: Model, batch: Batch, target: Target
    ) -> Sequence[KernelTime]:
        """Time the kernels of a built model."""
        return audit.profile(self.graph(model, target), built, batch, target)

    def audit(
        self, model: Model, plan: Plan, built: Model, batch: Batch, target: Target
    ) -> Sequence[Audit]:
        """Tell what every group executes."""
        return audit.audit(self.graph(model, target), plan, built, batch, target)

    def baselines(self, model: Model, target: Target) -> Mapping[str, Model]:
        """Return the untouched model; ONNX Runtime optimizes it when it opens it."""
        return {"default": model}

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.onnx` into a folder."""
        load.save(model, folder)

    def restore(self, folder: Path, *, trust: bool = False) -> Model:
        """Read what `save` wrote."""
        return load.load(folder, self.name)
