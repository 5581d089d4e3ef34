"""The reference backend: small networks in numpy, without any framework."""

from octavo.backends.reference.backend import ReferenceBackend


def backend() -> ReferenceBackend:
    """Return the backend; the registry calls this."""
    return ReferenceBackend()


__all__ = ["ReferenceBackend", "backend"]
