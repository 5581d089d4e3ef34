"""Prices kept on disk, so that the next model on the same machine starts from them.

One file holds the prices of one processor, one runtime in one version, and one number of threads.
A feature is named by the hash of a group's pattern, which holds its operators, attributes and
shapes, so that a price is never taken for another operator.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavo.target import Target

VERSION = 1


@dataclass(frozen=True)
class PriceCache:
    """The prices of one machine and runtime.

    Attributes:
        folder: where files lie; it is made when something is stored.
        key: what the prices hold for.
    """

    folder: Path
    key: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The file."""
        text = json.dumps(self.key, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"

    def read(self) -> dict[str, float]:
        """Return seconds by feature; nothing where there is no file, or one that cannot be read."""
        try:
            content = json.loads(self.path.read_text())
            if content["version"] != VERSION or content["key"] != dict(self.key):
                return {}
            found = {str(name): float(value) for name, value in content["seconds"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {name: value for name, value in found.items() if 0 <= value < float("inf")}

    def store(self, seconds: Mapping[str, float]) -> None:
        """Add prices to the file; a full or read-only disk is no error, as nothing depends on it.

        Args:
            seconds: by feature.
        """
        content = {
            "version": VERSION,
            "key": dict(self.key),
            "seconds": {**self.read(), **seconds},
        }
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(content, file)
                Path(name).replace(self.path)
            finally:
                Path(name).unlink(missing_ok=True)


def open_cache(
    backend: str, versions: Mapping[str, str], target: Target, folder: Path | None = None
) -> PriceCache:
    """Return the cache for a runtime on a target.

    Args:
        backend: its name.
        versions: of the packages that its speed depends on.
        target: processor and threads.
        folder: where it lies; by default `octavo/prices` in the user's cache.
    """
    place = folder or cache_folder() / "prices"
    key = {
        "backend": backend,
        "versions": dict(versions),
        "cpu": target.cpu.model,
        "instructions": sorted(target.cpu.instructions),
        "threads": target.threads,
    }
    return PriceCache(place, key)


def cache_folder() -> Path:
    """Return Octavo's folder in the user's cache, as the XDG base directory specification says."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if given and Path(given).is_absolute() else Path.home() / ".cache"
    return base / "octavo"
