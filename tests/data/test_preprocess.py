import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from octavo.data.preprocess import Preprocess, image_reader
from octavo.errors import DataError, UsageError
from octavo.model import TensorSpec


def spec(*shape, dtype="float32"):
    return (TensorSpec("image", dtype, shape),)


def read(tmp_path, image, inputs, **options):
    image.save(tmp_path / "a.png")
    return image_reader(inputs, Preprocess(**options)).read(tmp_path / "a.png")


@pytest.fixture
def noise():
    """A picture of 40 rows and 60 columns."""
    values = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    return Image.fromarray(values)


def test_a_picture_of_the_models_size_keeps_its_pixels(tmp_path, noise):
    result = read(tmp_path, noise, spec("N", 3, 40, 60))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(
        result[0], (np.asarray(noise) / 255).transpose(2, 0, 1).astype("f")
    )


def test_channels_last_is_inferred(tmp_path, noise):
    result = read(tmp_path, noise, spec(1, 40, 60, 3), scale=1)
    np.testing.assert_array_equal(result[0], np.asarray(noise))


def test_one_channel_is_grey(tmp_path, noise):
    result = read(tmp_path, noise, spec("N", 1, 40, 60), scale=1)
    np.testing.assert_array_equal(result[0, 0], np.asarray(noise.convert("L")))


def test_integer_inputs_get_pixel_values(tmp_path, noise):
    result = read(tmp_path, noise, spec("N", 40, 60, 3, dtype="uint8"))
    np.testing.assert_array_equal(result[0], np.asarray(noise))


def test_the_shorter_side_is_resized_and_the_centre_cut(tmp_path, noise):
    result = read(tmp_path, noise, spec("N", 8, 8, 3), scale=1, resize=10)
    # torchvision: Resize(10) makes 10 rows and 15 columns, CenterCrop(8) starts at row 1, column 4
    expected = noise.resize((15, 10), Image.Resampling.BILINEAR).crop((4, 1, 12, 9))
    np.testing.assert_array_equal(result[0], np.asarray(expected))


def test_without_resize_the_picture_just_covers_the_input(tmp_path, noise):
    result = read(tmp_path, noise, spec("N", 10, 10, 3), scale=1, interpolation="bicubic")
    expected = noise.resize((15, 10), Image.Resampling.BICUBIC).crop((2, 0, 12, 10))
    np.testing.assert_array_equal(result[0], np.asarray(expected))


@pytest.mark.parametrize("size", [(7, 30), (30, 7), (100, 100)])
def test_inputs_of_any_sides_are_covered(tmp_path, size):
    result = read(tmp_path, Image.new("RGB", (60, 40), "white"), spec("N", 3, *size))
    assert result.shape == (1, 3, *size) and result.min() == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_pictures_of_every_mode_become_rgb(tmp_path, mode):
    path = tmp_path / "a.tiff"
    Image.new("RGB", (4, 4), "white").convert(mode).save(path)
    result = image_reader(spec("N", 3, 4, 4), Preprocess()).read(path)
    np.testing.assert_allclose(result, np.ones((1, 3, 4, 4)), atol=0.01)


def test_a_strip_does_not_fill_the_memory(tmp_path):
    with pytest.raises(DataError, match=r"a\.png: 20000x1 pixels"):
        read(tmp_path, Image.new("RGB", (20000, 1)), spec("N", 3, 224, 224))


def test_preprocessing_survives_json():
    options = Preprocess(size=(4, 4), resize=5, mean=(0.1, 0.2, 0.3), std=(1, 2, 3), layout="NHWC")
    assert Preprocess(**json.loads(json.dumps(asdict(options)))) == options


def test_what_was_inferred_is_told():
    settled = image_reader(spec("N", 8, 6, 3), Preprocess(mean=(0.5,))).settled
    assert settled == Preprocess(size=(8, 6), layout="NHWC", scale=1 / 255, mean=(0.5,))
    assert image_reader(spec("N", 8, 6, 3, dtype="uint8"), Preprocess()).settled.scale == 1


def test_size_and_layout_can_be_given_where_the_model_leaves_them_open(tmp_path, noise):
    result = read(tmp_path, noise, spec(None, None, None, None), size=(5, 6), layout="NCHW")
    assert result.shape == (1, 3, 5, 6)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (spec("N", 3, "h", "w"), "give the size"),
        (spec("N", "c", "h", "w"), "give the layout"),
        (spec("N", 3, 8, 3), "give the layout"),
        (spec("N", 8, 8), "4 dimensions"),
    ],
)
def test_an_input_that_leaves_too_much_open_is_an_error(inputs, expected):
    with pytest.raises(DataError, match=expected):
        image_reader(inputs, Preprocess())


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(DataError, match="has 4 as NCHW"):
        image_reader(spec("N", 4, 8, 8), Preprocess(layout="NCHW"))


@pytest.mark.parametrize(
    "options",
    [
        {"std": (0, 1, 1)},
        {"size": (0, 8)},
        {"size": (8,)},
        {"resize": 0},
        {"interpolation": "cubic"},
        {"layout": "CHW"},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(UsageError):
        Preprocess(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"mean": (0, 0)}, "mean has 2 values"), ({"resize": 7}, "does not cover")],
)
def test_options_that_do_not_fit_the_model_are_refused(options, expected):
    with pytest.raises(UsageError, match=expected):
        image_reader(spec("N", 3, 8, 8), Preprocess(**options))
