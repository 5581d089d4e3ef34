from collections import UserDict

import numpy as np
import pytest

from octavo.data.base import LabelledBatch
from octavo.data.binding import Binder
from octavo.errors import DataError
from octavo.model import TensorSpec

IMAGE = Binder((TensorSpec("image", "float32", ("N", 3, 4, 4)),))
TEXT = Binder(
    (
        TensorSpec("input_ids", "int64", ("N", "length")),
        TensorSpec("attention_mask", "int64", ("N", "length")),
    )
)
PIXELS = np.zeros((2, 3, 4, 4), np.float32)
IDS = np.ones((2, 5), np.int64)


class Tensor:
    """Another framework's tensor: no numpy array, but convertible."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def refusal(binder, item):
    with pytest.raises(DataError) as caught:
        binder.bind(item, "batch 7")
    message = str(caught.value)
    assert message.startswith("batch 7: ") and "\n" not in message
    return message


@pytest.mark.parametrize(
    "item",
    [
        PIXELS,
        {"image": PIXELS},
        (PIXELS,),
        [PIXELS, None],
        ({"image": PIXELS}, None),
        Tensor(PIXELS),
        UserDict(image=PIXELS),
        LabelledBatch({"image": PIXELS}, None),
        {"image": PIXELS.tolist()},
    ],
)
def test_every_form_of_an_unlabelled_batch_is_understood(item):
    batch = IMAGE.bind(item, "here")
    assert batch.labels is None
    assert batch.inputs["image"].dtype == np.float32
    np.testing.assert_array_equal(batch.inputs["image"], PIXELS)


@pytest.mark.parametrize(
    "item",
    [
        (PIXELS, [1, 0]),
        [Tensor(PIXELS), Tensor(np.array([1, 0]))],
        {"image": PIXELS, "label": np.array([1, 0])},
        ({"image": PIXELS}, np.array([1, 0])),
        LabelledBatch({"image": PIXELS}, np.array([1, 0])),
    ],
)
def test_every_form_of_a_labelled_batch_is_understood(item):
    np.testing.assert_array_equal(IMAGE.bind(item, "here").labels, [1, 0])


def test_an_array_that_fits_is_not_copied():
    assert IMAGE.bind(PIXELS, "here").inputs["image"] is PIXELS


def test_label_may_be_the_name_of_an_input():
    binder = Binder((TensorSpec("label", "float32", ("N",)),))
    batch = binder.bind({"label": np.ones(2, np.float32)}, "here")
    assert batch.labels is None and list(batch.inputs) == ["label"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("float64", "float32"),
        ("float16", "float32"),
        ("float32", "float16"),
        (">f4", "float32"),
        ("int32", "int64"),
        ("int64", "int32"),
        ("uint8", "float32"),
        ("bool", "int64"),
        ("bool", "float32"),
    ],
)
def test_a_cast_that_loses_nothing_is_done(given, wanted):
    binder = Binder((TensorSpec("x", wanted, (None, 2)),))
    result = binder.bind(np.array([[0, 1]], given), "here").inputs["x"]
    assert result.dtype == np.dtype(wanted)
    assert result.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.array([[0.5]]), "int64"),
        (np.array([[1.0]]), "int64"),
        (np.array([[2]]), "bool"),
        (np.array([["a"]]), "float32"),
        (np.array([[1 + 1j]]), "float32"),
        (np.array([[2**40]]), "int32"),
        (np.array([[-1]]), "uint8"),
        (np.array([[2**24 + 1]]), "float32"),
        (np.array([[1e300]]), "float32"),
        (np.array([[1e6]]), "float16"),
    ],
)
def test_a_cast_that_loses_something_is_refused(value, wanted):
    message = refusal(Binder((TensorSpec("x", wanted, (None, 1)),)), value)
    assert str(value.dtype) in message and f"x: {wanted}[?, 1]" in message


def test_a_dtype_unknown_to_numpy_is_an_error():
    binder = Binder((TensorSpec("x", "float4e2m1", (None, 1)),))
    assert "float4e2m1" in refusal(binder, np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("binder", "item", "expected"),
    [
        (IMAGE, {"imge": PIXELS}, "no input 'imge'; did you mean 'image'?"),
        (IMAGE, {"image": PIXELS, "labels": IDS}, "no input 'labels'; did you mean 'label'?"),
        (IMAGE, {"image": PIXELS, 3: IDS}, "no input 3"),
        (IMAGE, {"label": IDS}, "input 'image' is missing"),
        (TEXT, {"input_ids": IDS}, "input 'attention_mask' is missing"),
        (TEXT, IDS, "give arrays by name: 'input_ids', 'attention_mask'"),
        (IMAGE, PIXELS[0], "axis 0 must count the samples: add it with array[None]"),
        (IMAGE, PIXELS[0, 0], "4 dimensions are needed"),
        (IMAGE, PIXELS.transpose(0, 2, 3, 1), "dimension 1 must be 3, not 4"),
        (IMAGE, PIXELS[:, :, :, :3], "dimension 3 must be 4, not 3"),
        (TEXT, {"input_ids": IDS[:, :0], "attention_mask": IDS}, "its samples are empty"),
        (TEXT, {"input_ids": IDS, "attention_mask": IDS[:1]}, "'attention_mask' has 1"),
        (IMAGE, (PIXELS, np.zeros(3, int)), "'image' has 2, 'label' has 3"),
        (IMAGE, (PIXELS, 1), "one label for all"),
        (IMAGE, (PIXELS, np.array([0.0, np.nan])), "the label of sample 1 is NaN"),
        (IMAGE, (PIXELS, [{"box": 1}, {}]), "'label' is not an array of numbers"),
        (IMAGE, {"image": [[1], [2, 3]]}, "'image' cannot be read as an array"),
        (IMAGE, "cat.png", "not a str"),
        (IMAGE, 3, "not a int"),
        (IMAGE, (PIXELS, None, None), "not a tuple of 3"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_with_the_reason(binder, item, expected):
    assert expected in refusal(binder, item)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_by_input_and_sample(bad):
    pixels = np.zeros((4, 3, 4, 4), np.float32)
    pixels[2, 0, 1, 1] = pixels[3, 1] = bad
    message = refusal(IMAGE, pixels)
    assert "input 'image' of sample 2 (and of 1 more) is NaN" in message
    assert "17 of 96 values" in message


def test_splitting_counts_samples_from_the_first():
    pixels = np.zeros((70, 3, 4, 4), np.float32)
    pixels[65, 0, 0, 0] = np.nan
    pieces = IMAGE.split(pixels, "here", 32)
    assert [next(pieces).samples, next(pieces).samples] == [32, 32]
    with pytest.raises(DataError, match="sample 65"):
        next(pieces)


IMAGE_AND = TensorSpec("x", "float32", ("N", 2))


def test_one_entry_for_an_input_of_size_1_is_that_of_every_sample():
    binder = Binder((IMAGE_AND, TensorSpec("bias", "float32", (1, 3))))
    item = {"x": np.zeros((4, 2), np.float32), "bias": np.array([[1, 2, 3]], np.float32)}
    batch = binder.bind(item, "data")
    assert batch.samples == 4
    assert batch.inputs["bias"].tolist() == [[1, 2, 3]] * 4
    parts = list(binder.split(item, "data", 3))
    assert [part.inputs["bias"].shape for part in parts] == [(3, 3), (1, 3)]


def test_models_of_one_sample_are_not_given_the_same_entry_again():
    binder = Binder((TensorSpec("x", "float32", (1, 2)), TensorSpec("bias", "float32", (1, 3))))
    item = {"x": np.zeros((4, 2), np.float32), "bias": np.zeros((1, 3), np.float32)}
    with pytest.raises(DataError, match=r"unequal numbers of samples \(axis 0\)"):
        binder.bind(item, "data")


def test_an_input_that_does_not_count_samples_is_refused_with_what_to_do():
    binder = Binder((IMAGE_AND, TensorSpec("anchors", "float32", (5, 3))))
    item = {"x": np.zeros((4, 2), np.float32), "anchors": np.zeros((5, 3), np.float32)}
    with pytest.raises(
        DataError, match=r"of input anchors: float32\[5, 3\] is fixed and .* a constant"
    ):
        binder.bind(item, "data")
