"""Which backends exist, what they need, and how they are imported when first used."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from octavo.backends.base import Backend
from octavo.errors import MissingFrameworkError, ModelError, UsageError, nearest


@dataclass(frozen=True)
class Entry:
    """A backend that can be loaded.

    Attributes:
        name: the backend's name.
        module: the module whose `backend()` makes it.
        packages: the import names it needs.
        install: the exact shell lines that install them.
        suffixes: file endings it reads, to name it when its framework is missing.
        types: modules and packages of the objects it takes.
        language: backends of one language read each other's models: each is a runtime for all of
            them. The first of a language is the one that runs its models unless another is asked
            for. By default a backend has a language of its own.
        title: what the makers of the framework call it; empty where `name` is that.
        int8: what there is to say about its INT8 beside what the processor does, in plain words.
        threads: where its sessions look by default for cores, to start a thread for each: on the
            whole `machine`, or on the socket on which the `process` may use most; empty where
            that is not known.
        thread_variables: environment variables that set this number, the first one that is set.
        hidden: it is for tests only, and no message to users names it.
    """

    name: str
    module: str
    packages: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    language: str = ""
    title: str = ""
    int8: str = ""
    threads: Literal["machine", "process", ""] = ""
    thread_variables: tuple[str, ...] = ()
    hidden: bool = False

    @property
    def family(self) -> str:
        """What backends that read each other's models have in common."""
        return self.language or self.name

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)


def pip_lines(extra: str, *before: str) -> tuple[str, ...]:
    """Return the shell lines that install an extra of this package, after the lines `before`.

    The requirements come from the installed package itself, so that the lines hold wherever it came
    from.
    """
    marker = f"extra == '{extra}'"
    found = metadata.requires("octavo") or []
    needed = [line.split(";")[0].strip() for line in found if marker in line.replace('"', "'")]
    quoted = " ".join(f"'{requirement}'" for requirement in needed)
    return (*before, f"pip install {quoted}")


ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="onnxruntime",
            module="octavo.backends.onnxruntime",
            packages=("onnx", "onnxruntime", "onnx_ir"),
            install=pip_lines("onnx"),
            suffixes=(".onnx",),
            types=("onnx", "onnx_ir"),
            language="onnx",
            title="ONNX Runtime",
            threads="machine",
            thread_variables=("ORT_INTRA_OP_NUM_THREADS",),
        ),
        Entry(
            name="openvino",
            module="octavo.backends.openvino",
            packages=("openvino", "onnx", "onnxruntime", "onnx_ir"),
            install=pip_lines("openvino"),
            suffixes=(".onnx",),
            types=("onnx", "onnx_ir"),
            language="onnx",
            title="OpenVINO",
            int8="static quantization only",
            threads="process",
        ),
        Entry(
            name="pytorch",
            module="octavo.backends.pytorch",
            packages=("torch",),
            install=pip_lines("pytorch"),
            suffixes=(".pt2",),
            types=("torch", "octavo.backends.pytorch"),
            title="PyTorch",
        ),
        Entry(
            name="reference",
            module="octavo.backends.reference",
            suffixes=(".refnet",),
            types=("octavo.backends.reference",),
            hidden=True,
        ),
    )
}


def register(entry: Entry) -> None:
    """Add a backend from outside the package; a second one of the same name replaces the first."""
    ENTRIES[entry.name] = entry
    get_backend.cache_clear()


@cache
def get_backend(name: str) -> Backend:
    """Import and return the backend called `name`.

    Raises:
        UsageError: no backend has that name.
        MissingFrameworkError: its framework is not installed.
    """
    entry = ENTRIES.get(name)
    if entry is None:
        known = sorted(entry.name for entry in _shown())
        raise UsageError(f"no backend {name!r}; known are {', '.join(known)}{nearest(name, known)}")
    if entry.missing:
        raise MissingFrameworkError(
            f"the {name} backend needs {', '.join(entry.missing)}, which is not installed; "
            f"run: {' && '.join(entry.install)}"
        )
    backend: Backend = importlib.import_module(entry.module).backend()
    return backend


def runtimes(name: str) -> tuple[str, ...]:
    """Return the names of the backends that run the models of the backend `name`, it included."""
    family = ENTRIES[name].family if name in ENTRIES else name
    return tuple(entry.name for entry in ENTRIES.values() if entry.family == family)


def get_runtime(name: str, runtime: str | None) -> Backend:
    """Return the backend called `runtime` for the models of the backend `name`; None: that itself.

    Raises:
        UsageError: it does not run those models, or does not exist; what does is named.
        MissingFrameworkError: its framework is not installed.
    """
    if runtime is None or runtime == name:
        return get_backend(name)
    known = runtimes(name)
    if runtime not in known:
        raise UsageError(
            f"no runtime {runtime!r} for this model; it runs in {', '.join(known)}"
            f"{nearest(runtime, known)}"
        )
    return get_backend(runtime)


def title_of(name: str) -> str:
    """Return what the makers of the framework of the backend `name` call it."""
    return (ENTRIES[name].title if name in ENTRIES else "") or name


def _claims(entry: Entry, source: object) -> bool:
    if isinstance(source, (str, Path)):
        return Path(source).suffix.lower() in entry.suffixes
    module = type(source).__module__
    return any(f"{module}.".startswith(f"{known}.") for known in entry.types)


def find_backend(source: object, runtime: str | None = None) -> Backend:
    """Return the backend that can load `source`, the one called `runtime` where that is given.

    Raises:
        ModelError: `source` is missing, or no backend reads it.
        UsageError: `runtime` does not run it.
        MissingFrameworkError: its framework is not installed.
    """
    if isinstance(source, (str, Path)) and not Path(source).exists():
        raise ModelError(f"no model at {str(source)!r}; expected an existing file or folder")
    candidates = [entry for entry in ENTRIES.values() if _claims(entry, source)]
    if candidates:
        return get_runtime(candidates[0].name, runtime)
    families = {entry.family: entry for entry in reversed(_installed())}
    for entry in reversed(families.values()):
        if get_backend(entry.name).owns(source):
            return get_runtime(entry.name, runtime)
    endings = ", ".join(dict.fromkeys(s for entry in _shown() for s in entry.suffixes))
    if not isinstance(source, (str, Path)):
        kind = type(source).__qualname__
        raise ModelError(f"no backend reads {kind}; expected a model file ({endings}) or object")
    raise ModelError(
        f"no backend reads {str(source)!r}; expected a model file ({endings}), or for explain, "
        f"benchmark and compare the folder of an artifact"
    )


def _shown() -> list[Entry]:
    return [entry for entry in ENTRIES.values() if not entry.hidden]


def _installed() -> list[Entry]:
    return [entry for entry in ENTRIES.values() if not entry.missing]
