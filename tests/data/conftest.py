import numpy as np
import pytest

from octavo.model import TensorSpec


@pytest.fixture
def vector():
    """The inputs of a model that reads vectors of three floats."""
    return (TensorSpec("x", "float32", ("N", 3)),)


@pytest.fixture
def picture():
    """The inputs of a model that reads 8x8 colour images, channels first."""
    return (TensorSpec("image", "float32", ("N", 3, 8, 8)),)


@pytest.fixture
def rows():
    """Return `n` different samples for `vector`."""
    return lambda n, first=0: np.arange(3 * first, 3 * (first + n), dtype=np.float32).reshape(n, 3)
