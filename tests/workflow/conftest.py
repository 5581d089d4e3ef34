import numpy as np
import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.testing.networks import convnet
from octavo.workflow.setting import describe


class Silent:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.said, self.warned, self.tracked = [], [], []

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)

    def track(self, title, total):
        from contextlib import nullcontext

        self.tracked.append((title, total))
        return nullcontext(lambda done: None)


@pytest.fixture
def reporter():
    return Silent()


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(0).standard_normal((20, 3, 12, 12)).astype(np.float32)


@pytest.fixture
def setting(images):
    """The reference backend's small convolution net."""
    backend = ReferenceBackend()
    return describe(backend, backend.load(convnet()), 1, {"image": images[:1]})
