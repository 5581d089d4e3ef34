"""OpenVINO's CPU plugin as a second runtime of ONNX models.

Reading, describing, rewriting and writing are those of the ONNX Runtime backend; what differs is
how a model is run, what is read back from the runtime, and which formats pay.
"""

from octavo.backends.openvino.quiet import import_quietly

import_quietly()  # before anything of this package imports openvino

from octavo.backends.openvino.backend import OpenVinoBackend  # noqa: E402


def backend() -> OpenVinoBackend:
    """Return the backend; the registry calls this."""
    return OpenVinoBackend()


__all__ = ["OpenVinoBackend", "backend"]
