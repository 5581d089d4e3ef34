"""What a committed result says about where it was measured."""

from __future__ import annotations

from importlib import metadata

from octavo.backends.registry import get_backend
from octavo.target import detect_cpu


def describe_machine() -> dict[str, object]:
    """Return processor, cores and versions, JSON-ready."""
    cpu = detect_cpu()
    marked = {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"}
    return {
        "cpu": cpu.model,
        "cores": cpu.cores,
        "instructions": sorted(marked & cpu.instructions),
        "versions": {
            "octavo": metadata.version("octavo"),
            "numpy": metadata.version("numpy"),
            **get_backend("openvino").versions(),  # and those of ONNX Runtime
        },
    }
