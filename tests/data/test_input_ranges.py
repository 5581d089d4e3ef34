import numpy as np
import pytest

from octavo.data import input_ranges, open_dataset, suspicious_ranges
from octavo.model import TensorSpec

IMAGE = (TensorSpec("image", "float32", ("N", 3, 8, 8)),)
MEAN, STD = 0.45, 0.225


def ranges(values, inputs=IMAGE, **options):
    return input_ranges(open_dataset(values, inputs, role="calibration"), **options)


@pytest.fixture
def pixels():
    """Two sets of images in 0..1."""
    random = np.random.default_rng(0)
    return random.random((16, 3, 8, 8)), random.random((16, 3, 8, 8))


def test_ranges_are_those_of_the_values(pixels):
    found = ranges(pixels[0])["image"]
    values = pixels[0].astype(np.float32)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(dtype=np.float64))
    assert found.std == pytest.approx(values.std(dtype=np.float64))
    assert (found.shape, found.count, found.floating) == ((3, 8, 8), values.size, True)


def test_only_the_first_samples_are_read(pixels):
    assert ranges(pixels[0], samples=5)["image"].count == 5 * 192


def test_equal_preprocessing_is_no_reason_to_warn(pixels):
    first, second = pixels
    for change in (lambda x: x, lambda x: (x - MEAN) / STD, lambda x: 2 * x - 1):
        assert suspicious_ranges(ranges(change(first)), ranges(change(second))) == []
        assert suspicious_ranges(ranges(change(first))) == []


@pytest.mark.parametrize(
    "other",
    [lambda x: 255 * x, lambda x: (x - MEAN) / STD, lambda x: x - 0.5, lambda x: x + 300],
    ids=["raw pixels", "normalized", "centred", "shifted"],
)
def test_other_preprocessing_of_one_set_is_warned_of(pixels, other):
    first, second = pixels
    for pair in ((first, other(second)), (other(first), second)):
        warnings = suspicious_ranges(*map(ranges, pair))
        assert any("'image' has other values in the two data sets" in text for text in warnings)


def test_raw_pixels_are_warned_of_once(pixels):
    first, second = (255 * x for x in pixels)
    (warning,) = suspicious_ranges(ranges(first), ranges(second))
    assert "raw pixels (" in warning and "calibration and evaluation data" in warning


def test_values_on_both_sides_of_zero_are_no_raw_pixels(pixels):
    assert suspicious_ranges(ranges(200 * pixels[0] - 100)) == []


def test_a_constant_input_is_warned_of(pixels):
    (warning,) = suspicious_ranges(ranges(np.full((4, 3, 8, 8), 0.5)), ranges(pixels[0]))
    assert "'image' is 0.5 everywhere in the calibration data" in warning


def test_integers_are_never_suspicious():
    ids = (TensorSpec("ids", "int64", ("N", 4)),)
    assert suspicious_ranges(ranges(np.zeros((4, 4), int), ids)) == []
