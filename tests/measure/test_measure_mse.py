import numpy as np
import pytest

from octavo.measure import (
    Histogram,
    TensorStatistics,
    compute_range,
    dequantize,
    quantization_of,
    quantize,
)
from octavo.measure.mse import mse_range
from octavo.plan import S8, U8, Range, Recipe, Scheme

MSE, MINMAX = Recipe("mse"), Recipe("minmax")
COUNT = 60_000


def gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def values(name):
    random = np.random.default_rng(7)
    normal = random.normal(size=(2, COUNT))
    made = {
        "normal": normal,
        "laplace": random.laplace(size=(2, COUNT)),
        "relu": np.maximum(normal, 0),
        "gelu": gelu(3 * normal),
        "skewed": np.where(normal < 0, normal, 8 * normal * np.abs(normal)),
        "outliers": np.where(random.random((2, COUNT)) < 1e-3, 20 * normal, normal),
        "uniform": random.uniform(-1, 2, size=(2, COUNT)),
    }
    return made[name].astype(np.float32)


def measured(samples):
    statistics = TensorStatistics()
    statistics.update(samples)
    return statistics


def real_error(samples, range, scheme):
    quantization = quantization_of(range, scheme)
    back = dequantize(quantize(samples, quantization), quantization)
    return float(np.mean((back.astype(np.float64) - samples) ** 2))


NAMES = ["normal", "laplace", "relu", "gelu", "skewed", "outliers", "uniform"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", [U8, S8, Scheme(bits=4)], ids=["U8", "S8", "U4"])
def test_no_range_of_a_fine_grid_has_a_smaller_real_error(name, scheme):
    samples = values(name)
    widest = compute_range(measured(samples), MINMAX, scheme)
    found = compute_range(measured(samples), MSE, scheme)
    shares = np.linspace(0.04, 1, 25)
    lows = shares if widest.low < 0 and not scheme.symmetric else [1.0]
    errors = [
        real_error(
            samples,
            Range(widest.low * (high if scheme.symmetric else low), widest.high * high),
            scheme,
        )
        for low in lows
        for high in shares
    ]
    assert real_error(samples, found, scheme) <= 1.005 * min(errors)


@pytest.mark.parametrize(
    ("name", "bits", "expected"),
    [("normal", 4, 2.55), ("laplace", 4, 5.03), ("normal", 8, 3.92), ("laplace", 8, 9.89)],
)
def test_ends_agree_with_the_literature(name, bits, expected):
    # Banner et al. 2019, the optimal clipping in units of sigma (normal) or b (laplace).
    found = compute_range(
        measured(values(name)), MSE, Scheme(bits=bits, signed=True, symmetric=False)
    )
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.05)


def test_each_end_is_chosen_for_itself():
    random = np.random.default_rng(0)
    samples = np.concatenate(
        [random.uniform(-1, 0, COUNT), random.laplace(size=COUNT)], dtype=np.float32
    )
    samples[COUNT:] = np.abs(samples[COUNT:])
    found = compute_range(measured(samples[None]), MSE, U8)
    step = (found.high - found.low) / 255
    assert found.low == pytest.approx(-1, abs=step / 2)
    assert found.high < 0.95 * samples.max()


def test_what_the_histogram_cannot_tell_is_kept_whole():
    samples = np.zeros((1, 99), np.float32)
    samples[0, 1] = 5.0
    statistics = TensorStatistics(limit=2)  # does not look at the second value
    statistics.update(samples)
    assert compute_range(statistics, MSE, U8) == Range(0.0, 5.0)
    for scheme in (Scheme(bits=16), Scheme(bits=16, signed=True, symmetric=True)):
        seen = measured(values("laplace"))
        assert compute_range(seen, MSE, scheme) == compute_range(seen, MINMAX, scheme)


def test_exact_zeros_have_no_say():
    rectified = values("relu")
    padded = np.concatenate([rectified, np.zeros((2, 9 * COUNT), np.float32)], axis=1)
    once, often = (compute_range(measured(each), MSE, U8) for each in (rectified, padded))
    assert once == often


def test_exact_zeros_have_no_say_where_steps_are_narrower_than_bins():
    counts = np.zeros(2048, np.int64)
    counts[:100], counts[-1] = 10**6, 1
    often = counts.copy()
    often[0] += 10**12
    widest = Range(0.0, 2048.0)
    once = mse_range(Histogram(0, 0, counts), widest, U8)
    assert once.high < 2 * 255
    assert mse_range(Histogram(0, 0, often), widest, U8) == once
