"""The PyTorch backend."""

from octavo.backends.pytorch.backend import PyTorchBackend
from octavo.backends.pytorch.source import Source


def backend() -> PyTorchBackend:
    """Return the backend; the registry calls this."""
    return PyTorchBackend()


__all__ = ["PyTorchBackend", "Source", "backend"]
