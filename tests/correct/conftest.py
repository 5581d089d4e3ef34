import pytest
from small_networks import Small, deep, scaled_channels

from octavo.testing.networks import NETWORKS


@pytest.fixture(scope="session")
def convnet():
    """The contract's network with a depthwise convolution, its channels made unequal."""
    pairs = [("stem", "depthwise"), ("depthwise", "pointwise"), ("pointwise", "classifier")]
    return Small(scaled_channels(NETWORKS["convnet"](), pairs))


@pytest.fixture(scope="session")
def residual():
    return Small(deep())
