"""A model that can be called with arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from octavo.arrays import Array, Batch
from octavo.artifact import Manifest, open_artifact
from octavo.backends.base import Session
from octavo.backends.registry import get_backend, get_runtime
from octavo.data.binding import Binder
from octavo.model import Model, TensorSpec
from octavo.target import Target
from octavo.workflow.batches import FullBatchSession, fixed_batch


class LoadedModel:
    """A model ready to run.

    Attributes:
        inputs: what it reads.
        outputs: what it makes.
        manifest: of the artifact it was loaded from; None for a model that is not on disk.
    """

    def __init__(
        self,
        session: Session,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        manifest: Manifest | None = None,
    ) -> None:
        self._session = session
        self._binder = Binder(tuple(inputs))
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.manifest = manifest

    def __call__(self, batch: Array | Batch) -> Array | dict[str, Array]:
        """Run one batch.

        Args:
            batch: an array for a model of one input, or arrays by input name; axis 0 = samples.

        Returns:
            An array for a model of one output, else arrays by output name.

        Raises:
            DataError: the batch does not fit the model.
        """
        outputs = self._session.run(self._binder.bind(batch, "the batch").inputs)
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def ready(model: Model, threads: int, manifest: Manifest | None = None) -> LoadedModel:
    """Open a model for `threads` threads."""
    session = get_backend(model.backend).open(model, Target(threads=threads))
    session = FullBatchSession(session, fixed_batch(model.inputs))
    return LoadedModel(session, model.inputs, model.outputs, manifest)


def load(
    folder: str | Path,
    *,
    threads: int | None = None,
    runtime: str | None = None,
    trust: bool = False,
) -> LoadedModel:
    """Load an artifact, after checking that it is complete and unchanged.

    Args:
        folder: the artifact.
        threads: threads to run on; None uses what it was measured with.
        runtime: what runs it, such as `openvino`; None uses what it was measured with.
        trust: accept files that can run code of their own.

    Raises:
        ArtifactError: it is missing, damaged, or of another schema version.
        UsageError: the runtime does not run it.
        MissingFrameworkError: its framework is not installed.
        TrustError: it can run code of its own and `trust` is False.
    """
    artifact = open_artifact(Path(folder))
    backend = get_runtime(artifact.manifest.backend, runtime)
    model = backend.restore(artifact.model_folder, trust=trust)
    return ready(model, threads or artifact.manifest.threads, artifact.manifest)
