"""What a quantization returns, in Python and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from octavo.artifact import Artifact, Manifest, write_artifact
from octavo.bench.worker import peak_bytes
from octavo.errors import ExitCode
from octavo.loaded import LoadedModel


@dataclass(frozen=True, repr=False)
class Result:
    """A finished quantization.

    Attributes:
        model: the model that was kept, ready to be called; INT8, or FP32 where INT8 did not pay.
        saved: which of the two it is.
        exit_code: 0 done, 3 tolerance not reached, 4 not faster than FP32.
        reason: one sentence on the outcome.
        manifest: what its artifact says.
        write: writes the native model into an empty folder.
        folder: where the artifact is; None before it was saved.
    """

    model: LoadedModel
    saved: Literal["int8", "fp32"]
    exit_code: ExitCode
    reason: str
    manifest: Manifest
    write: Callable[[Path], None]
    folder: Path | None = None

    def __repr__(self) -> str:
        folder = f", folder={str(self.folder)!r}" if self.folder else ""
        return f"Result({self.saved}, exit_code={int(self.exit_code)}, {self.reason!r}{folder})"

    def save(self, folder: str | Path) -> Result:
        """Write the artifact; an Octavo artifact that is there is replaced.

        Returns:
            The same result with its folder.

        Raises:
            ArtifactError: it cannot be written; what was there stays.
        """
        written: Artifact = write_artifact(Path(folder), self.manifest, self.write)
        return replace(self, folder=written.folder)

    @property
    def accuracy(self) -> Mapping[str, Any] | None:
        """How both models were judged; the key `accuracy` of `to_json`."""
        found: Mapping[str, Any] | None = self.manifest.measurements["accuracy"]
        return found

    @property
    def throughput(self) -> Mapping[str, Any] | None:
        """How fast both models are; the key `throughput` of `to_json`."""
        found: Mapping[str, Any] | None = self.manifest.measurements["throughput"]
        return found

    @property
    def groups(self) -> Sequence[Mapping[str, Any]]:
        """One row per group: what was asked, what executed, and why."""
        return self.manifest.groups

    def to_json(self) -> dict[str, Any]:
        """Return what `octavo quantize --json` prints."""
        return {
            **self.manifest.measurements,
            "trials": list(self.manifest.trials),
            "notes": list(self.manifest.notes),
            "saved": self.saved,
            "reason": self.reason,
            "exit_code": int(self.exit_code),
            "artifact": str(self.folder) if self.folder else None,
        }


def peak_memory_mb() -> float:
    """Return the most memory this process has held, in 10^6 bytes; mapped files count."""
    return peak_bytes() / 1e6
