"""The backend itself: every method delegates to the file named for its step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import torch
from torch.export import ExportedProgram

from octavo.arrays import Array, Batch
from octavo.backends.base import Audit, Change, Feature, KernelTime, Observer, Ranges, Session
from octavo.backends.pytorch import audit, edit, graph, load, observe, oracle, rewrite, run
from octavo.backends.pytorch.load import native
from octavo.backends.pytorch.source import Source
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target


class PyTorchBackend:
    """PyTorch models on CPUs; see `octavo.backends.base.Backend`."""

    name = "pytorch"

    def features(self) -> Mapping[Feature, str | None]:
        """Return what this backend can do, and the reasons where it cannot."""
        return {
            "static": None,
            "dynamic": None,
            "weight_only": "weights in INT8 with float products are not written yet",
            "bf16": "groups in BF16 are not written yet",
            "switches": "the rewriter bakes scales into the graph",
            "trains": "quantization-aware training is not written yet",
        }

    def versions(self) -> Mapping[str, str]:
        """Return the version of torch."""
        return {"torch": metadata.version("torch")}

    def owns(self, source: object) -> bool:
        """Return whether `source` is a `.pt2` file, what `save` wrote, or an object of PyTorch."""
        if isinstance(source, (str, Path)):
            path = Path(source)
            return path.suffix.lower() == load.SUFFIX or (path / load.FILE).is_file()
        return isinstance(source, (Source, ExportedProgram, torch.nn.Module))

    def load(self, source: object, *, trust: bool = False) -> Model:
        """Load a `Source`, an `ExportedProgram` or a `.pt2` file.

        Raises:
            ModelError: it cannot be read or captured.
            TrustError: the file holds more than a plain program, and `trust` is False.
        """
        return load.load(source, self.name, trust=trust)

    def graph(self, model: Model, target: Target) -> Graph:
        """Describe the model in neutral terms."""
        return graph.describe(native(model).program, target)

    def weights(self, model: Model, names: Iterable[str]) -> dict[str, Array]:
        """Return copies of constants by name."""
        constants = native(model).program.constants
        return {name: edit.constant(constants, name) for name in names}

    def edit(self, model: Model, edits: Sequence[Change]) -> Model:
        """Return a model with other constants, or with products by them put in."""
        return edit.edit(model, edits)

    def observe(
        self, model: Model, batches: Iterable[Batch], observer: Observer, target: Target
    ) -> None:
        """Run the batches and show the observer the tensors it wants."""
        observe.observe(model, batches, observer, target)

    def build(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return the model in oneDNN's integer operators."""
        described, program = self.graph(model, target), native(model).program
        return load.wrap(rewrite.build(program, described, plan, ranges), model)

    def reference(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return float operators between quantizers."""
        described, program = self.graph(model, target), native(model).program
        return load.wrap(oracle.reference(program, described, plan, ranges), model)

    def open(self, model: Model, target: Target) -> Session:
        """Make a model ready to run."""
        return run.TorchSession(model, target)

    def profile(
        self, model: Model, built: Model, batch: Batch, target: Target
    ) -> Sequence[KernelTime]:
        """Time the operators of a built model."""
        return audit.profile(self.graph(model, target), built, batch, target)

    def audit(
        self, model: Model, plan: Plan, built: Model, batch: Batch, target: Target
    ) -> Sequence[Audit]:
        """Tell what every group executes."""
        return audit.audit(model, self.graph(model, target), plan, built, batch, target)

    def baselines(self, model: Model, target: Target) -> Mapping[str, Model]:
        """Return the model as it was captured, which PyTorch runs operator by operator."""
        found = native(model)
        return {"default": replace(model, native=load.TorchModel(found.original, found.original))}

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.pt2` and `octavo.json` into a folder."""
        load.save(model, folder)

    def restore(self, folder: Path, *, trust: bool = False) -> Model:
        """Read what `save` wrote."""
        return load.restore(folder, self.name, trust=trust)
