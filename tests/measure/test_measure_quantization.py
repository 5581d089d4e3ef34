import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from octavo.errors import DataError, UsageError
from octavo.measure import Quantization, dequantize, quantization_of, quantize
from octavo.measure.quantization import steps
from octavo.plan import S8, U8, Range, Scheme

SCHEMES = [
    U8,
    S8,
    Scheme(bits=7, signed=False, symmetric=False),
    Scheme(bits=7, signed=True, symmetric=True),
    Scheme(bits=8, signed=True, symmetric=False),
    Scheme(bits=8, signed=False, symmetric=True),
    Scheme(bits=4, signed=True, symmetric=True),
    Scheme(bits=16, signed=False, symmetric=False),
]
FLOAT32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
ENDS = st.floats(-(2.0**127), 2.0**127, width=32)
RANGES = st.tuples(ENDS, ENDS).map(lambda ends: Range(min(ends), max(ends)))

scheme_given = pytest.mark.parametrize("scheme", SCHEMES, ids=str)


@scheme_given
@given(range=RANGES, shares=st.lists(st.floats(0, 1), min_size=1))
def test_error_is_at_most_half_a_step_inside_the_range(scheme, range, shares):
    low, high = min(range.low, 0.0), max(range.high, 0.0)
    values = np.array([low + share * (high - low) for share in shares], np.float32)
    quantization = quantization_of(range, scheme)
    back = dequantize(quantize(values, quantization), quantization)
    slack = 1 + 4 * steps(scheme) * np.finfo(np.float32).eps  # of the float32 division
    worst = np.abs(back.astype(np.float64) - values).max()
    assert worst <= 0.5 * float(quantization.scale) * slack


@scheme_given
@given(range=RANGES)
def test_scale_is_normal_and_zero_is_exact(scheme, range):
    quantization = quantization_of(range, scheme)
    assert quantization.scale.dtype == np.float32
    assert quantization.scale >= np.finfo(np.float32).tiny
    assert scheme.qmin <= quantization.zero_point <= scheme.qmax
    zero = quantize(np.zeros(1, np.float32), quantization)
    assert zero == quantization.zero_point
    assert dequantize(zero, quantization) == 0.0


@scheme_given
@given(range=RANGES, values=hnp.arrays(np.float32, 5, elements=FLOAT32))
def test_integers_stay_in_use_and_quantizing_again_changes_nothing(scheme, range, values):
    quantization = quantization_of(range, scheme)
    integers = quantize(values, quantization)
    assert integers.min() >= scheme.qmin and integers.max() <= scheme.qmax
    assert np.array_equal(quantize(dequantize(integers, quantization), quantization), integers)


@pytest.mark.parametrize(
    ("scheme", "scale", "zero_point", "dtype"),
    [
        (U8, 3 / 255, 85, np.uint8),
        (S8, 2 / 127, 0, np.int8),
        (Scheme(bits=7, signed=True, symmetric=True), 2 / 63, 0, np.int8),
        (Scheme(bits=7), 3 / 127, 42, np.uint8),
        (Scheme(bits=8, signed=True), 3 / 255, -43, np.int8),
        (Scheme(bits=8, symmetric=True), 2 / 127, 128, np.uint8),
        (Scheme(bits=16), 3 / 65535, 21845, np.uint16),
    ],
    ids=str,
)
def test_scale_and_zero_point_of_a_known_range(scheme, scale, zero_point, dtype):
    quantization = quantization_of(Range(-1.0, 2.0), scheme)
    assert quantization.scale == np.float32(scale)
    assert quantization.zero_point == zero_point
    assert quantization.zero_point.dtype == dtype


def test_a_range_without_zero_is_widened_to_hold_it():
    assert quantization_of(Range(2.0, 5.1), U8).scale == np.float32(5.1 / 255)
    assert quantization_of(Range(-5.1, -2.0), U8).zero_point == 255


def test_a_range_of_zeros_or_next_to_it_has_scale_one():
    for range in (Range(0.0, 0.0), Range(-1e-40, 1e-39)):
        quantization = quantization_of(range, U8)
        assert (quantization.scale, quantization.zero_point) == (1.0, 0)


def test_halves_round_to_even_and_outliers_saturate():
    unit = Quantization(np.float32(1), np.uint8(10), U8)
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 300, -300, 3e38, -3e38], np.float32)
    assert quantize(values, unit).tolist() == [10, 12, 12, 10, 8, 255, 0, 255, 0]


def test_one_scale_per_channel_on_any_axis():
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    for axis in (0, 1, 2, -1):
        scheme = Scheme(bits=8, signed=True, symmetric=True, axis=axis)
        scale = np.linspace(0.01, 0.02, values.shape[axis], dtype=np.float32)
        channels = Quantization(scale, np.zeros(len(scale), np.int8), scheme)
        integers = quantize(values, channels)
        back = dequantize(integers, channels)
        for channel, one in enumerate(scale):
            alone = Quantization(np.array(one), np.array(0, np.int8), S8)
            expected = quantize(values.take(channel, axis), alone)
            assert np.array_equal(integers.take(channel, axis), expected)
            assert np.array_equal(back.take(channel, axis), dequantize(expected, alone))
        assert np.array_equal(quantize(values, channels, axis), integers)


def test_a_scale_per_channel_without_an_axis_is_refused():
    channels = Quantization(np.ones(3, np.float32), np.zeros(3, np.int8), S8)
    for axis in (None, 2):
        with pytest.raises(UsageError, match="channel axis"):
            quantize(np.ones((2, 3), np.float32), channels, axis)


@scheme_given
@pytest.mark.parametrize("low", [0.0, -1.0, -float(np.finfo(np.float32).max)])
def test_the_largest_floats_stay_finite(scheme, low):
    largest = float(np.finfo(np.float32).max)
    quantization = quantization_of(Range(low, largest), scheme)
    values = np.array([-largest, 0, largest], np.float32)
    back = dequantize(quantize(values, quantization), quantization)
    assert np.isfinite(back).all()
    assert abs(float(back[2]) - largest) <= 1.01 * float(quantization.scale)


@pytest.mark.parametrize("end", [np.inf, np.nan, 1e42])
def test_a_range_that_is_not_finite_is_refused(end):
    for scheme in (U8, S8):
        with pytest.raises(DataError, match="not finite in float32"):
            quantization_of(Range(-1.0, end), scheme)


def test_a_scheme_without_an_integer_type_is_refused():
    with pytest.raises(UsageError, match="17 bits"):
        quantization_of(Range(0.0, 1.0), Scheme(bits=17))


def test_the_range_of_a_quantization_covers_what_was_asked_to_half_a_step():
    quantization = quantization_of(Range(-1.0, 2.0), U8)
    low, high = quantization.range
    assert abs(low + 1.0) <= 0.5 * quantization.scale
    assert abs(high - 2.0) <= 0.5 * quantization.scale
