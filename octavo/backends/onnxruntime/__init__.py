"""The ONNX Runtime backend: standard QDQ graphs, U8 activations and S8 weights on x86."""

from octavo.backends.onnxruntime.backend import OnnxRuntimeBackend


def backend() -> OnnxRuntimeBackend:
    """Return the backend; the registry calls this."""
    return OnnxRuntimeBackend()


__all__ = ["OnnxRuntimeBackend", "backend"]
