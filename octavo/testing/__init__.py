"""For those who write a backend: the contract it has to pass, and the networks it runs on.

Needs pytest; nothing else of the package imports it.
"""

import pytest

pytest.register_assert_rewrite("octavo.testing.checks")  # before what follows imports it

from octavo.backends.reference.network import Layer, Network  # noqa: E402
from octavo.testing.case import Case, Tolerances  # noqa: E402
from octavo.testing.contract import BackendContract  # noqa: E402
from octavo.testing.networks import NETWORKS  # noqa: E402

__all__ = ["NETWORKS", "BackendContract", "Case", "Layer", "Network", "Tolerances"]
