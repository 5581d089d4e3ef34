"""The ONNX Runtime backend: standard QDQ graphs, U8 activations and S8 weights on x86."""

import logging

import onnxruntime

from octavo.backends.onnxruntime.backend import OnnxRuntimeBackend

logging.getLogger("onnx_ir").setLevel(logging.WARNING)  # it tells of every pass as INFO

onnxruntime.disable_telemetry_events()


def backend() -> OnnxRuntimeBackend:
    """Return the backend; the registry calls this."""
    return OnnxRuntimeBackend()


__all__ = ["OnnxRuntimeBackend", "backend"]
