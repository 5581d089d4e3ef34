"""The artifact: a self-contained folder with the native model and the manifest that explains it.

DIR/manifest.json   what it is, where it came from, how it was judged, checksums of the rest
DIR/model/          the model in its framework's own format, written by the backend
DIR/study/          the trials of the search that made it; stays when an artifact is replaced
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavo.errors import ArtifactError
from octavo.plan import Plan, Range
from octavo.workspace import replace_folder, sync, workspace

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
MODEL = "model"
STUDY = "study"


@dataclass(frozen=True)
class Manifest:
    """What an artifact says about itself; every field is JSON-ready or has a JSON form.

    Attributes:
        octavo: the version of Octavo that wrote it.
        backend: the backend that reads `model/`, the runtime that it was measured with.
        source: the float model's file name and sha256; the hash is None for an object in memory.
        fingerprint: the float model's `Graph.fingerprint`.
        plan: the format of every group.
        ranges: the activation ranges that were built in, by tensor name.
        job: the job as it was asked for.
        preprocessing: how pictures became inputs, with nothing left to infer, for whoever serves
            the model; empty where the data were no pictures.
        versions: versions of the packages that made it, by package name.
        cpu: the processor it was measured on.
        threads: threads of one instance.
        saved: which model it holds, `int8` or `fp32`.
        reason: one sentence on the outcome.
        exit_code: 0 done, 3 tolerance not reached, 4 not faster than FP32.
        measurements: accuracy, throughput and cost of the run, the keys of `quantize --json`.
        scales: tensors whose channels are those of the float model times factors, by name: the
            `axis` of the channels and one `factor` for each.
        groups: one row per group: what was asked, what executed, and why.
        trials: one row per candidate that was tried.
        notes: what the user was warned of.
        created: when, in UTC, as ISO 8601.
    """

    octavo: str
    backend: str
    source: Mapping[str, str | None]
    fingerprint: str
    plan: Plan
    ranges: Mapping[str, Range] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    cpu: str = ""
    threads: int = 1
    saved: str = "int8"
    reason: str = ""
    exit_code: int = 0
    measurements: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, Any] = field(default_factory=dict)
    groups: Sequence[Mapping[str, Any]] = ()
    trials: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    created: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form; `from_json` reads it back."""
        data = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        ranges = {name: [value.low, value.high] for name, value in self.ranges.items()}
        return data | {"plan": self.plan.to_json(), "ranges": ranges}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Read what `to_json` wrote; keys of a later writer are passed over."""
        given = {"scales": {}, **data}  # older manifests have none
        known = {one.name: given[one.name] for one in dataclasses.fields(cls)}
        ranges = {name: Range(low, high) for name, (low, high) in data["ranges"].items()}
        return cls(**known | {"plan": Plan.from_json(data["plan"]), "ranges": ranges})


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk whose files were checked.

    Attributes:
        folder: where it is.
        manifest: what it says about itself.
    """

    folder: Path
    manifest: Manifest

    @property
    def model_folder(self) -> Path:
        """The folder that the backend restores."""
        return self.folder / MODEL


def is_artifact(path: Path) -> bool:
    """Return whether `path` is a folder with a manifest of Octavo's."""
    try:
        content = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"octavo", "schema_version", "files"} <= content.keys()


def check_output(folder: Path) -> Path:
    """Check, before any work, that an artifact may be written to `folder`.

    Returns:
        `folder`, absolute and without links.

    Raises:
        ArtifactError: it holds something that is not an artifact, or its parent cannot be written.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{str(folder)!r} is a file; give a folder for the artifact")
    if folder == Path.cwd():
        raise ArtifactError("the artifact would replace the current folder; give another one")
    foreign = _foreign_files(folder)
    if foreign:
        raise ArtifactError(
            f"{str(folder)!r} holds files that Octavo did not write ({foreign[0]}); "
            "choose an empty or a new folder"
        )
    with workspace(folder):
        return folder


def _foreign_files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    present = {
        name
        for file in folder.rglob("*")
        if (name := file.relative_to(folder).as_posix()).split("/")[0] != STUDY
    }
    if not is_artifact(folder):
        return sorted(present)
    listed = json.loads((folder / MANIFEST).read_text())["files"]
    folders = {parent.as_posix() for name in listed for parent in Path(name).parents}
    return sorted(present - set(listed) - folders - {MANIFEST, MODEL})


def write_artifact(output: Path, manifest: Manifest, save: Callable[[Path], None]) -> Artifact:
    """Write an artifact that appears at `output` whole or not at all.

    Args:
        output: the folder; an artifact that is there is replaced when the new one is complete.
        manifest: what it says about itself.
        save: writes the model into the existing, empty folder that it is given.

    Raises:
        ArtifactError: it cannot be written; nothing is left behind and what was there stays.
    """
    output = check_output(output)
    with workspace(output) as place:
        new = place / "artifact"
        try:
            (new / MODEL).mkdir(parents=True)
            save(new / MODEL)
            _write_manifest(new, manifest)
            if (output / STUDY).is_dir():
                shutil.copytree(output / STUDY, new / STUDY)
            sync(new)
            replace_folder(new, output)
        except OSError as error:
            raise _unwritten(output, error) from None
    return Artifact(output, manifest)


def _unwritten(output: Path, error: OSError) -> ArtifactError:
    reason = error.strerror or str(error)
    return ArtifactError(f"the artifact {str(output)!r} was not written: {reason}; nothing changed")


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    files = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    content = {"schema_version": SCHEMA_VERSION, **manifest.to_json(), "files": files}
    text = json.dumps(content, indent=1, allow_nan=False, default=_plain)
    (folder / MANIFEST).write_text(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__qualname__} has no JSON form")


def open_artifact(folder: Path) -> Artifact:
    """Open an artifact and check that it is complete and unchanged.

    Raises:
        ArtifactError: it is none, of another schema version, or its files are not what was written.
    """
    if not folder.is_dir():
        raise ArtifactError(f"no folder {str(folder)!r}; expected an artifact of octavo quantize")
    if not is_artifact(folder):
        raise ArtifactError(f"{str(folder)!r} is not an Octavo artifact: no readable {MANIFEST}")
    content = json.loads((folder / MANIFEST).read_text())
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{str(folder)!r} has schema version {version}, this Octavo reads {SCHEMA_VERSION}; "
            f"use the Octavo that wrote it ({content['octavo']}) or quantize again"
        )
    _check_files(folder, content["files"])
    try:
        return Artifact(folder, Manifest.from_json(content))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{str(folder / MANIFEST)!r} is damaged: {error!r}") from None


def _check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{name!r} is missing from {str(folder)!r}; quantize again")
        if file.stat().st_size != expected["bytes"] or sha256(file) != expected["sha256"]:
            raise ArtifactError(
                f"{name!r} in {str(folder)!r} is not what was written (checksum); quantize again"
            )


def sha256(path: Path) -> str:
    """Return the hex digest of a file, or of the names and contents of all files of a folder."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
    return total.hexdigest()
