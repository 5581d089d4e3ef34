"""What a recorded benchmark says about where it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import octavo
from octavo.backends.base import Backend
from octavo.bench.topology import Topology
from octavo.doctor.conditions import read_governor
from octavo.doctor.processor import describe_processor
from octavo.target import detect_cpu

_GIT_SECONDS = 10


def describe_machine(backends: Iterable[Backend], topology: Topology) -> dict[str, Any]:
    """Return processor, cores, system, versions and the commit of the working directory.

    Args:
        backends: those that ran the models.
        topology: the cores that could be used.
    """
    processor = describe_processor(detect_cpu())
    present = [name for name, there in processor.instructions.items() if there]
    versions = {name: one for backend in backends for name, one in backend.versions().items()}
    return {
        "cpu": processor.model,
        "architecture": processor.architecture,
        "instructions": present,
        "sockets": topology.sockets,
        "cores": len(topology.cores),
        "smt": topology.smt,
        "cpu_limit": topology.quota,
        "governor": read_governor(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {"octavo": octavo.__version__, "numpy": np.__version__, **versions},
        "git_commit": git_commit(Path.cwd()),
    }


def git_commit(folder: Path) -> str | None:
    """Return the commit that a folder has checked out, with `-dirty` where files were changed.

    None where it is no work tree of git, or git does not tell.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
