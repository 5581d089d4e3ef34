"""What a user names as data, on the command line or in Python, opened for one model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from octavo.data.arrayfiles import ARRAY_SUFFIXES, array_files, open_array_files
from octavo.data.base import Dataset, LabelledBatch, Role
from octavo.data.binding import Binder
from octavo.data.checked import CheckedDataset, checked
from octavo.data.functions import import_function, names_function
from octavo.data.images import IMAGE_SUFFIXES, has_images, open_image_folder
from octavo.data.preprocess import Preprocess, image_reader
from octavo.data.recorded import MEMORY_LIMIT, guarded, record
from octavo.errors import DataError, OctavoError, UsageError, nearest
from octavo.model import TensorSpec

DataSource: TypeAlias = str | PathLike[str] | Dataset | Iterable[object]
"""A specification, a path, a data set, or batches as `Binder.bind` takes them."""

_LIMITED = re.compile(r"(?P<rest>.+?)(\[:(?P<slice>\d+)\]|:(?P<count>\d+))")
_KINDS = ("digits", "images", "npz")
_FORMS = "digits:N, images:DIR, npz:FILE_OR_DIR, a path, or module:function"


@dataclass(frozen=True)
class _Request:
    """What `open_dataset` was asked for."""

    name: str
    binder: Binder
    role: Role
    limit: int | None
    preprocess: Preprocess
    memory_limit: int


def open_dataset(
    source: DataSource,
    inputs: Sequence[TensorSpec],
    *,
    role: Role,
    limit: int | None = None,
    default: int | None = None,
    preprocess: Preprocess | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> CheckedDataset:
    """Open data for a model and check its first samples; the others are checked as they are read.

    Args:
        source: one of
            `digits[:N]`, composed handwritten digits; the two roles share no digit;
            `images:DIR[:N]`, a folder of images, in sub-folders by class or without labels;
            `npz:FILE_OR_DIR[:N]`, arrays by input name and `label`, or one `.npy` array;
            a path of any of these (`[:N]` too if it is text, and `:N` may be written for `[:N]`);
            `module:function`, code of the user's own that returns any of the following;
            a data set; an iterable of batches, which is read once and kept (in memory up to
            `memory_limit`, then in a temporary folder): arrays, dicts of arrays, or pairs of either
            with labels; or one such batch: an array, a dict, or a tuple of two.
        inputs: what the model reads.
        role: what the samples are for.
        limit: use only the first `limit` samples (of `N` and this, the smaller), None for all.
        default: the limit where neither `source` nor `limit` gives one.
        preprocess: how images are made into inputs.
        memory_limit: bytes of an iterable that are kept in memory.

    Raises:
        UsageError: the specification names nothing, or the limit is less than 1.
        DataError: the data cannot be read, are empty, or do not fit the model.
    """
    text, limit = _parted(source, limit) if isinstance(source, str) else ("", limit)
    limit = default if limit is None else limit
    name = str(source) if isinstance(source, str | PathLike) else f"{role} data"
    if limit is not None and limit < 1:
        raise UsageError(f"{name}: ask for at least 1 sample, not {limit}")
    binder, options = Binder(tuple(inputs)), preprocess or Preprocess()
    request = _Request(name, binder, role, limit, options, memory_limit)
    try:
        if isinstance(source, str):
            return _open_text(text, request)
        if isinstance(source, PathLike):
            return _open_path(Path(source), request)
        return _open_object(source, request)
    except OSError as error:
        raise DataError(f"{name}: {error.strerror}: {error.filename}") from error


def _parted(text: str, limit: int | None) -> tuple[str, int | None]:
    """Split `[:N]` off a specification and return the smaller limit with it."""
    match = _LIMITED.fullmatch(text)
    if match is None or Path(text).exists():
        return text, limit
    number = int(match["slice"] or match["count"])
    return match["rest"], number if limit is None else min(number, limit)


def _open_text(text: str, request: _Request) -> CheckedDataset:
    kind, _, rest = text.partition(":")
    if not text.strip():
        raise UsageError(f"no data were named; data are {_FORMS}")
    if text == "digits":
        return _open_digits(request)
    if kind == "images" and rest:
        return _open_images(_existing(Path(rest), request), request)
    if kind == "npz" and rest:
        return _open_arrays(_existing(Path(rest), request), request)
    if names_function(text) and not Path(text).exists():
        return _open_function(text, request)
    return _open_path(Path(text), request)


def _open_digits(request: _Request) -> CheckedDataset:
    from octavo.data.digits import open_digits

    count = "" if request.limit is None else f":{request.limit}"
    scenes = open_digits(f"digits{count}", request.binder.inputs, request.role)
    return _open_object(replace(scenes, name=request.name), request)


def _open_images(folder: Path, request: _Request) -> CheckedDataset:
    if not folder.is_dir():
        raise DataError(f"{request.name}: {folder} is a file; images are given as a folder")
    reader = image_reader(request.binder.inputs, request.preprocess)
    images = open_image_folder(request.name, folder, reader, request.binder, request.limit)
    return checked(images, request.limit, images.files)


def _open_arrays(path: Path, request: _Request) -> CheckedDataset:
    return checked(open_array_files(request.name, path, request.binder), request.limit)


def _open_path(path: Path, request: _Request) -> CheckedDataset:
    """Open a path by what it holds."""
    _existing(path, request)
    if path.is_file():
        if path.suffix.lower() not in ARRAY_SUFFIXES:
            expected = f"{' or '.join(ARRAY_SUFFIXES)} files, or folders of them or of images"
            kind = path.suffix or "this kind of"
            raise DataError(f"{request.name}: {kind} files are not read as data, {expected} are")
        return _open_arrays(path, request)
    arrays, images = bool(array_files(path)), has_images(path)
    if arrays and images:
        raise DataError(
            f"{request.name}: arrays and images in one folder; say npz:{path} or images:{path}"
        )
    if not arrays and not images:
        looked_for = ", ".join((*ARRAY_SUFFIXES, *IMAGE_SUFFIXES))
        raise DataError(f"{request.name}: the folder has no data (looked for {looked_for})")
    return _open_arrays(path, request) if arrays else _open_images(path, request)


def _existing(path: Path, request: _Request) -> Path:
    if not path.exists():
        kind = re.split(r"[:\[]", request.name)[0]
        is_path = re.search(r"[/\\.]", kind)
        hint = "" if kind in _KINDS or is_path else nearest(kind, _KINDS)
        named = "" if str(path) == request.name else f": {path}"
        raise DataError(f"{request.name}: no such file or folder{named}{hint}; data are {_FORMS}")
    return path


def _open_function(text: str, request: _Request) -> CheckedDataset:
    try:
        function = import_function(text)
    except UsageError as error:
        raise UsageError(f"{error}; data are {_FORMS}") from error
    try:
        result = function()
    except OctavoError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise DataError(f"{request.name}: the function failed: {kind}: {error}") from error
    return _open_object(result, request)


@dataclass(frozen=True)
class _Given:
    """A data set that was not made for this model's inputs, checked while it is read."""

    dataset: Dataset
    binder: Binder

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def size(self) -> int | None:
        return self.dataset.size

    def chunks(self) -> Iterator[LabelledBatch]:
        for index, batch in enumerate(guarded(self.dataset.batches, self.name)):
            yield self.binder.bind(batch, f"{self.name}, batch {index}")


def _open_object(source: object, request: _Request) -> CheckedDataset:
    """Open what Python code gave: a data set, one batch, or batches."""
    if isinstance(source, Dataset):
        return checked(_Given(source, request.binder), request.limit)
    pair = isinstance(source, tuple) and len(source) == 2 and not isinstance(source[1], Mapping)
    if pair or isinstance(source, LabelledBatch | Mapping) or hasattr(source, "__array__"):
        source = [source]
    return _open_batches(source, request)


def _open_batches(source: object, request: _Request) -> CheckedDataset:
    try:
        batches = iter(source)  # type: ignore[call-overload]  # not every iterable is an Iterable
    except TypeError as error:
        kind = type(source).__name__
        raise DataError(
            f"{request.name}: data are {_FORMS}, or an iterable of batches; not a {kind}"
        ) from error
    kept = source if isinstance(source, list | tuple) else batches
    recording = record(kept, request.binder, request.name, request.limit, request.memory_limit)
    return checked(recording, request.limit)
