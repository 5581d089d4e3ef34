"""The contract on the backends that `OCTAVO_TEST_BACKENDS` names, by default all that we have."""

import os
from pathlib import Path

import pytest

from octavo.backends.base import Backend
from octavo.backends.registry import ENTRIES, get_backend
from octavo.testing import BackendContract, Network, Tolerances

KNOWN = ("reference", "onnxruntime", "openvino", "pytorch")
SELECTED = os.environ.get("OCTAVO_TEST_BACKENDS", ",".join(KNOWN)).split(",")

if unknown := set(SELECTED) - set(KNOWN):
    raise pytest.UsageError(f"OCTAVO_TEST_BACKENDS names {unknown}; expected some of {KNOWN}")


def selected(name: str) -> pytest.MarkDecorator:
    missing = ENTRIES[name].missing
    why = f"{', '.join(missing)} is not installed" if missing else "not in OCTAVO_TEST_BACKENDS"
    return pytest.mark.skipif(name not in SELECTED or bool(missing), reason=f"{name}: {why}")


@selected("reference")
class TestReference(BackendContract):
    def backend(self) -> Backend:
        return get_backend("reference")

    def source(self, network: Network, folder: Path) -> object:
        return network


@selected("onnxruntime")
class TestOnnxRuntime(BackendContract):
    def backend(self) -> Backend:
        return get_backend("onnxruntime")

    def source(self, network: Network, folder: Path) -> object:
        from octavo.backends.onnxruntime.testing import source

        return source(network)


@selected("openvino")
class TestOpenVino(BackendContract):
    tolerances = Tolerances(baseline=35)  # by default it computes float in BF16 where it can

    def backend(self) -> Backend:
        return get_backend("openvino")

    def source(self, network: Network, folder: Path) -> object:
        from octavo.backends.onnxruntime.testing import source

        return source(network)


@selected("pytorch")
class TestPyTorch(BackendContract):
    def backend(self) -> Backend:
        return get_backend("pytorch")

    def source(self, network: Network, folder: Path) -> object:
        from octavo.backends.pytorch.testing import source

        return source(network)

    def tensor(self, network: Network, name: str) -> str:
        from octavo.backends.pytorch.testing import tensor

        return tensor(network, name)
