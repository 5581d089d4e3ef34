"""Importing OpenVINO without its telemetry."""

from __future__ import annotations

import importlib
import sys

PACKAGE = "openvino"
TELEMETRY = "openvino_telemetry"


def import_quietly() -> None:
    """Import OpenVINO, and let it find no telemetry package meanwhile.

    `import openvino` sends an event to Intel and writes files into the home folder. Where
    `openvino_telemetry` cannot be imported, it takes an empty stand-in that it brings along. A
    package that was imported before, by whoever uses this process, is left as it is.
    """
    if PACKAGE in sys.modules:
        return
    before = sys.modules.get(TELEMETRY)
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        importlib.import_module(PACKAGE)
    finally:
        del sys.modules[TELEMETRY]
        if before is not None:
            sys.modules[TELEMETRY] = before
