"""What ranges lose by looking at a part of the values: bounds, on tensors as networks make them."""

import numpy as np
import pytest

from octavo.measure import (
    SAMPLED,
    TensorStatistics,
    compute_range,
    dequantize,
    quantization_of,
    quantize,
)
from octavo.plan import S8, U8, Recipe

KINDS = ("linear", "rectified", "silu", "laplace", "outlier channel", "other at the edges")
PERCENTILES = (99.9, 99.99)


def tensor(kind):
    """Return 32 samples of 64 channels; unless said otherwise, neighbours are alike."""
    random = np.random.default_rng(0)
    shape = (32, 64, 40, 40)
    scale = random.lognormal(sigma=0.7, size=(1, 64, 1, 1)).astype(np.float32)
    noise = random.standard_normal(shape, np.float32)
    smooth = sum(np.roll(noise, by, (2, 3)) for by in ((0, 0), (0, 1), (1, 0), (1, 1))) / 2
    match kind:
        case "linear":
            return smooth * scale
        case "rectified":
            return np.maximum(smooth * scale, 0)
        case "silu":
            return smooth * scale / (1 + np.exp(-smooth * scale))
        case "laplace":
            return random.laplace(size=shape).astype(np.float32) * scale
        case "outlier channel":
            smooth[:, 7] *= 20
            return smooth
        case "other at the edges":
            values = smooth * scale
            values[:, :, 0] *= 3
            values[:, :, :, -1] *= 3
            return values
    raise ValueError(kind)


@pytest.fixture(scope="module", params=KINDS)
def measured(request):
    """Values, the statistics of all of them, and those of the default sampling."""
    values = tensor(request.param)
    full, part = TensorStatistics(), TensorStatistics(limit=SAMPLED)
    for each in (full, part):
        each.update(values)
    assert part.moments.count <= 0.16 * full.moments.count
    return values, full, part


def squared_error(values, range, scheme):
    quantization = quantization_of(range, scheme)
    back = dequantize(quantize(values, quantization), quantization)
    return float(np.mean((back.astype(np.float64) - values) ** 2))


def difference(measured, recipe, scheme):
    """Return by how much of the range's width its ends move."""
    _, full, part = measured
    exact, sampled = (compute_range(each, recipe, scheme) for each in (full, part))
    moved = max(abs(exact.low - sampled.low), abs(exact.high - sampled.high))
    return moved / (exact.high - exact.low)


@pytest.mark.parametrize("scheme", [U8, S8], ids=["U8", "S8"])
def test_minmax_loses_nothing(measured, scheme):
    assert difference(measured, Recipe("minmax"), scheme) == 0


@pytest.mark.parametrize("scheme", [U8, S8], ids=["U8", "S8"])
@pytest.mark.parametrize("percentile", PERCENTILES)
def test_percentiles_move_by_4_percent_at_most(measured, percentile, scheme):
    assert difference(measured, Recipe("percentile", percentile), scheme) <= 0.04


@pytest.mark.parametrize("scheme", [U8, S8], ids=["U8", "S8"])
def test_entropy_moves_by_10_percent_at_most(measured, scheme):
    # Half of the samples moves it as far: the divergence is flat where tails are thin.
    assert difference(measured, Recipe("entropy"), scheme) <= 0.10


@pytest.mark.parametrize("scheme", [U8, S8], ids=["U8", "S8"])
def test_ranges_of_smallest_error_lose_5_percent_of_it_at_most(measured, scheme):
    values, full, part = measured
    exact, sampled = (
        squared_error(values, compute_range(each, Recipe("mse"), scheme), scheme)
        for each in (full, part)
    )
    assert sampled <= 1.05 * exact
