"""The tests that every backend has to pass, for this package's backends and for others'."""

from __future__ import annotations

from pathlib import Path

import pytest

from octavo.backends.base import Backend
from octavo.backends.reference.network import Network
from octavo.target import Target
from octavo.testing.case import Case, Tolerances
from octavo.testing.checks.arithmetic import ArithmeticContract
from octavo.testing.checks.build import BuildContract
from octavo.testing.checks.correct import CorrectContract
from octavo.testing.checks.describe import DescribeContract
from octavo.testing.checks.execute import ExecuteContract
from octavo.testing.checks.models import ModelContract
from octavo.testing.checks.watch import ObserveContract
from octavo.testing.networks import NETWORKS


class BackendContract(
    DescribeContract,
    ObserveContract,
    BuildContract,
    ArithmeticContract,
    ModelContract,
    CorrectContract,
    ExecuteContract,
):
    """What a backend has to do.

    Subclass it under a name that pytest collects, and say what to test:

    ```python
    class TestMine(BackendContract):
        def backend(self):
            return MyBackend()

        def source(self, network, folder):
            return write_my_model(network, folder / "model.mine")
    ```

    Every test runs on every network of `octavo.testing.networks`. The formats that are tried are
    those that `Group.formats` lists.

    Attributes:
        tolerances: how far results may be from those of an equally right implementation.
    """

    tolerances = Tolerances()

    def backend(self) -> Backend:
        """Return the backend to test."""
        raise NotImplementedError("a contract needs backend()")

    def source(self, network: Network, folder: Path) -> object:
        """Write a network as something the backend loads: an object, or a path in `folder`.

        Args:
            network: what the model has to compute.
            folder: an existing folder of its own.
        """
        raise NotImplementedError("a contract needs source()")

    def tensor(self, network: Network, name: str) -> str:
        """Return the backend's name of a tensor of a network; by default they are the same."""
        return name

    def target(self) -> Target:
        """Return what models are built for."""
        return Target()

    def case_of(self, network: Network, folder: Path) -> Case:
        """Return what the tests take: a network on the backend, its files below `folder`."""

        def source(other: Network) -> object:
            own = folder / str(len(list(folder.iterdir())))
            own.mkdir()
            return self.source(other, own)

        return Case(
            backend=self.backend(),
            network=network,
            source=source,
            rename=lambda name: self.tensor(network, name),
            target=self.target(),
            tolerances=self.tolerances,
        )

    @pytest.fixture(scope="class", params=sorted(NETWORKS))
    @classmethod
    def case(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
        """One network on the backend."""
        folder = tmp_path_factory.mktemp(str(request.param))
        return cls().case_of(NETWORKS[request.param](), folder)
