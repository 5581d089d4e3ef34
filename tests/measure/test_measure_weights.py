import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from octavo.errors import DataError, NonFiniteError, UsageError
from octavo.measure import dequantize, quantize_weight
from octavo.measure.quantization import steps
from octavo.plan import Scheme

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)
WEIGHTS = hnp.arrays(np.float32, SHAPES, elements=st.floats(-100, 100, width=32))


@st.composite
def weights_and_schemes(draw):
    weight = draw(WEIGHTS)
    scheme = Scheme(
        bits=draw(st.sampled_from([7, 8])),
        signed=draw(st.booleans()),
        symmetric=draw(st.booleans()),
        axis=draw(st.sampled_from([None, *range(-weight.ndim, weight.ndim)])),
    )
    return weight, scheme


@given(weights_and_schemes())
def test_round_trip_is_within_half_a_step_of_each_channel(given_):
    weight, scheme = given_
    integers, quantization = quantize_weight(weight, scheme)
    error = np.abs(dequantize(integers, quantization).astype(np.float64) - weight)
    axis = quantization.scheme.axis
    others = tuple(set(range(weight.ndim)) - {axis}) if axis is not None else None
    assert np.all(error.max(axis=others) <= 0.5002 * quantization.scale)
    assert integers.shape == weight.shape
    assert integers.min() >= scheme.qmin and integers.max() <= scheme.qmax


def rows(array, axis):
    """Return the channels as rows; one row without a channel axis."""
    return (
        array.reshape(1, -1)
        if axis is None
        else np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    )


@given(weights_and_schemes())
def test_scales_use_the_whole_range_of_each_channel(given_):
    weight, scheme = given_
    integers, quantization = quantize_weight(weight, scheme)
    wanted = steps(scheme) / 2 if scheme.symmetric else steps(scheme) - 1
    zeros = quantization.zero_point.reshape(-1, 1).astype(int)
    away = rows(integers, scheme.axis) - zeros
    used = away.max(axis=1, initial=0) - away.min(axis=1, initial=0)
    assert np.all(used[np.abs(rows(weight, scheme.axis)).max(axis=1) > 1e-30] >= wanted)


def test_per_channel_is_per_tensor_channel_by_channel():
    weight = np.random.default_rng(0).normal(size=(6, 3, 2, 2)).astype(np.float32)
    weight *= np.logspace(-4, 4, 6, dtype=np.float32)[:, None, None, None]
    integers, quantization = quantize_weight(weight, Scheme(8, True, True, axis=0))
    for channel in range(6):
        alone, one = quantize_weight(weight[channel], Scheme(8, True, True))
        assert np.array_equal(integers[channel], alone)
        assert quantization.scale[channel] == one.scale


@pytest.mark.parametrize(
    ("bits", "signed", "symmetric", "low", "high"),
    [
        (8, True, True, -127, 127),
        (7, True, True, -63, 63),
        (8, True, False, -128, 127),
        (7, True, False, -64, 63),
        (8, False, False, 0, 255),
        (7, False, False, 0, 127),
    ],
)
def test_ends_of_the_range_become_the_ends_of_the_integers(bits, signed, symmetric, low, high):
    weight = np.array([-1.0 if not symmetric else -2.0, 0.0, 2.0], np.float32)
    integers, _ = quantize_weight(weight, Scheme(bits, signed, symmetric))
    assert (integers[0], integers[2]) == (low, high)


def test_a_channel_of_zeros_gets_the_scale_of_the_tensor():
    weight = np.array([[0, 0], [1.27, -1], [0.5, 0.1]], np.float32)
    integers, quantization = quantize_weight(weight, Scheme(8, True, True, axis=0))
    assert quantization.scale[0] == quantization.scale[1] == np.float32(0.01)
    assert integers[0].tolist() == [0, 0]
    _, channels = quantize_weight(weight, Scheme(8, axis=0))
    _, tensor = quantize_weight(weight, Scheme(8))
    assert (channels.scale[0], channels.zero_point[0]) == (tensor.scale, tensor.zero_point)


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_tensor_of_zeros_gets_scale_one(axis, symmetric):
    integers, quantization = quantize_weight(np.zeros((2, 3)), Scheme(8, True, symmetric, axis))
    assert np.all(quantization.scale == 1)
    assert np.all(dequantize(integers, quantization) == 0)


def test_shapes_of_the_parameters():
    weight = np.ones((2, 3), np.float32)
    assert quantize_weight(weight, Scheme(8, True, True))[1].scale.shape == ()
    _, channels = quantize_weight(weight, Scheme(8, True, True, axis=-1))
    assert channels.scale.shape == channels.zero_point.shape == (3,)
    assert channels.scheme.axis == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [None, 0])
def test_a_non_finite_weight_is_refused(bad, axis):
    with pytest.raises(NonFiniteError) as caught:
        quantize_weight(np.array([[1, bad], [2, 3]], np.float32), Scheme(8, True, True, axis))
    assert caught.value.count == 1


def test_what_cannot_be_quantized_is_refused():
    weight = np.ones((2, 3), np.float32)
    with pytest.raises(UsageError, match="no channel axis 2"):
        quantize_weight(weight, Scheme(8, True, True, axis=2))
    with pytest.raises(UsageError, match="blocks of 32"):
        quantize_weight(weight, Scheme(8, True, True, axis=0, block=32))
    with pytest.raises(DataError, match="expected real numbers"):
        quantize_weight(weight * 1j, Scheme(8, True, True))
