"""The reference backend: the whole protocol over small networks, in numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from octavo.arrays import Array, Batch
from octavo.backends.base import Audit, Change, Feature, KernelTime, Observer, Ranges
from octavo.backends.reference import load, observe, oracle, rewrite, run
from octavo.backends.reference.edit import constant, edited
from octavo.backends.reference.execute import Program
from octavo.backends.reference.graph import describe
from octavo.backends.reference.load import native
from octavo.backends.reference.network import Network
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.target import Target


class ReferenceBackend:
    """Small networks in numpy: what the contract and the tests run without any framework.

    The INT8 form computes on real integers (uint8 activations, int8 weights, int32 sums), so that
    it and the float oracle are different code that has to agree. It is not fast.
    """

    name = "reference"

    def features(self) -> Mapping[Feature, str | None]:
        """Return every feature with None where it is there, else the reason why not."""
        absent = "the reference backend keeps to static and dynamic INT8"
        return {
            "static": None,
            "dynamic": None,
            "weight_only": absent,
            "bf16": "numpy has no bf16 kernels",
            "switches": absent,
            "trains": absent,
        }

    def versions(self) -> Mapping[str, str]:
        """Return the version of numpy."""
        return {"numpy": np.__version__}

    def owns(self, source: object) -> bool:
        """Return whether `source` is a `Network` or a `.refnet` folder."""
        if isinstance(source, (str, Path)):
            return Path(source).suffix == load.SUFFIX
        return isinstance(source, Network)

    def load(self, source: object, *, trust: bool = False) -> Model:
        """Load a `Network` or a `.refnet` folder; `trust` is not needed, it holds no code.

        Raises:
            ModelError: it cannot be read, with the reason.
        """
        return load.load(source, self.name)

    def graph(self, model: Model, target: Target) -> Graph:
        """Describe a float model in neutral terms.

        Raises:
            ModelError: the model is quantized already.
        """
        return describe(native(model), target)

    def weights(self, model: Model, names: Iterable[str]) -> dict[str, Array]:
        """Return copies of constants by name.

        Raises:
            ModelError: a name is not that of a constant.
        """
        weights = native(model).network.weights
        return {name: constant(weights, name).copy() for name in names}

    def edit(self, model: Model, edits: Sequence[Change]) -> Model:
        """Return a model with changes; the given one is not changed.

        Raises:
            ModelError: a constant, a tensor or a layer does not exist, or a shape or dtype does
                not fit.
        """
        program = native(model)
        network = edited(program.network, edits)
        return self._wrap(Program(network, program.quantization), model)

    def observe(
        self, model: Model, batches: Iterable[Batch], observer: Observer, target: Target
    ) -> None:
        """Run the batches and show `observer` the tensors it wants, batch by batch.

        Raises:
            ModelError: a wanted tensor is not in the model.
            DataError: a batch does not fit the model's inputs.
        """
        observe.observe(native(model), batches, observer, target)

    def build(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Rewrite a float model into its INT8 form; the given one is not changed.

        Raises:
            ModelError: the plan does not fit the model, or a range is missing.
        """
        graph, network = self.graph(model, target), native(model).network
        return self._wrap(rewrite.build(network, graph, plan, ranges), model)

    def reference(self, model: Model, plan: Plan, ranges: Ranges, target: Target) -> Model:
        """Return the float oracle of `build`.

        Raises:
            ModelError: the plan does not fit the model, or a range is missing.
        """
        graph, network = self.graph(model, target), native(model).network
        return self._wrap(oracle.reference(network, graph, plan, ranges), model)

    def open(self, model: Model, target: Target) -> run.ReferenceSession:
        """Make a model ready to run on `target.threads` BLAS threads."""
        return run.ReferenceSession(native(model), target.threads)

    def profile(
        self, model: Model, built: Model, batch: Batch, target: Target
    ) -> Sequence[KernelTime]:
        """Time the layers of `built` (made from `model`) on one batch."""
        return run.profile(self.graph(model, target), native(built), batch, target)

    def audit(
        self, model: Model, plan: Plan, built: Model, batch: Batch, target: Target
    ) -> Sequence[Audit]:
        """Tell, for every group of `model`, what ran when `built` ran the batch."""
        return run.audit(self.graph(model, target), plan, native(built), batch, target)

    def baselines(self, model: Model, target: Target) -> Mapping[str, Model]:
        """Return the model itself: there is no compiled form."""
        return {"default": model}

    def save(self, model: Model, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        load.save(native(model), folder)

    def restore(self, folder: Path, *, trust: bool = False) -> Model:
        """Read what `save` wrote.

        Raises:
            ModelError: a file is missing, truncated or of another kind.
        """
        return load.load(folder, self.name)

    def _wrap(self, program: Program, like: Model) -> Model:
        return replace(like, native=program)
