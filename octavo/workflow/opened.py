"""A model the user names: an artifact of ours, or an FP32 model of any framework."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octavo.artifact import MANIFEST, Artifact, open_artifact
from octavo.backends.base import Backend, Dequantizes
from octavo.backends.registry import find_backend, get_runtime
from octavo.bench import ModelRef
from octavo.errors import UsageError
from octavo.model import Model


@dataclass(frozen=True)
class Opened:
    """A model with its backend, and the artifact it came from.

    Attributes:
        label: what reports call it.
        backend: runs it.
        model: the model.
        artifact: None for an FP32 model.
    """

    label: str
    backend: Backend
    model: Model
    artifact: Artifact | None

    @property
    def moved(self) -> bool:
        """Whether it runs in another runtime than its artifact was made for."""
        return self.artifact is not None and self.artifact.manifest.backend != self.backend.name

    def reference(self, place: Path, trust: bool) -> ModelRef:
        """Return it as a model on disk; what is not yet saved by us is saved into `place`."""
        if self.artifact is not None:
            return ModelRef(self.backend.name, self.artifact.model_folder, self.label, trust=trust)
        place.mkdir()
        self.backend.save(self.model, place)
        return ModelRef(self.backend.name, place, self.label, trust=trust)


def without_quantization(backend: Backend, model: Model) -> Model:
    """Return the float form of a model that carries quantization.

    Raises:
        UsageError: it carries none, or its backend cannot take it out.
        ModelError: it is of a form that cannot be turned back.
    """
    if not isinstance(backend, Dequantizes):
        raise UsageError(
            f"the {backend.name} backend cannot take quantization out of a model; leave out "
            "--requantize"
        )
    return backend.without_quantization(model)


def names_artifact(source: object) -> bool:
    """Return whether `source` is the folder of an artifact."""
    return isinstance(source, str | Path) and (Path(source) / MANIFEST).is_file()


def open_any(source: object, *, trust: bool, runtime: str | None = None) -> Opened:
    """Open an artifact folder or an FP32 model.

    Args:
        source: the folder, or the model.
        trust: accept files that can run code of their own.
        runtime: what runs it; None is what an artifact was measured with, else the first that can.

    Raises:
        UsageError: the runtime does not run it.
        ArtifactError: the artifact is damaged.
        ModelError: it is neither, or cannot be read.
    """
    if isinstance(source, str | Path) and names_artifact(source):
        artifact = open_artifact(Path(source))
        backend = get_runtime(artifact.manifest.backend, runtime)
        model = backend.restore(artifact.model_folder, trust=trust)
        return Opened(str(source), backend, model, artifact)
    backend = find_backend(source, runtime)
    model = backend.load(source, trust=trust)
    label = str(source) if isinstance(source, str | Path) else type(source).__qualname__
    return Opened(label, backend, model, None)


def require_artifact(
    folder: str | Path, *, trust: bool, runtime: str | None = None
) -> tuple[Opened, Artifact]:
    """Open an artifact folder.

    Raises:
        ArtifactError: it is none, or damaged.
    """
    artifact = open_artifact(Path(folder))
    return open_any(folder, trust=trust, runtime=runtime), artifact


def require_float(source: object, *, trust: bool, runtime: str | None = None) -> Opened:
    """Open an FP32 model.

    Raises:
        UsageError: it is an artifact.
    """
    opened = open_any(source, trust=trust, runtime=runtime)
    if opened.artifact is not None:
        raise UsageError(f"{opened.label!r} is an artifact; the FP32 model is needed here")
    return opened
