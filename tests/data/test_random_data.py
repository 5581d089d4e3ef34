import numpy as np
import pytest

from octavo.data import random_dataset
from octavo.errors import DataError, UsageError
from octavo.model import TensorSpec

TEXT = tuple(
    TensorSpec(name, "int64", ("N", "length"))
    for name in ("input_ids", "attention_mask", "token_type_ids", "position_ids")
)
IMAGE = (TensorSpec("image", "float32", ("N", 3, "h", "w")),)


def values(dataset):
    batches = list(dataset.batches())
    return {n: np.concatenate([b.inputs[n] for b in batches]) for n in batches[0].inputs}


def test_floats_are_standard_normal_by_default():
    data = random_dataset(IMAGE, 100, shapes={"image": (1, 3, 32, 32)})
    image = values(data)["image"]
    assert image.shape == (100, 3, 32, 32) and image.dtype == np.float32
    assert (image.mean(), image.std()) == pytest.approx((0, 1), abs=0.02)
    assert (data.size, data.labelled) == (100, False)


def test_an_input_without_axes_has_one_value_for_all_samples():
    inputs = (*IMAGE, TensorSpec("factor", "float32", ()))
    data = random_dataset(inputs, 40)
    chunks = list(data.batches())
    factors = {float(batch.inputs["factor"]) for batch in chunks}
    assert len(chunks) == 2 and len(factors) == 1
    assert all(batch.inputs["factor"].shape == () for batch in chunks)
    assert [batch.samples for batch in data.batches(40)] == [40]


def test_declared_ranges_are_kept():
    inputs = (*IMAGE, TensorSpec("ids", "int32", ("N", 50)), TensorSpec("flag", "bool", ("N", 9)))
    found = values(random_dataset(inputs, 50, ranges={"image": (2, 5), "ids": (7, 9)}))
    assert 2 <= found["image"].min() < 2.2 and 4.8 < found["image"].max() <= 5
    assert set(np.unique(found["ids"])) == {7, 8, 9}
    assert set(np.unique(found["flag"])) == {False, True}


def test_integers_are_valid_for_what_their_names_say():
    found = values(random_dataset(TEXT, 64, shapes={spec.name: (1, 12) for spec in TEXT}))
    assert all(array.shape == (64, 12) and array.dtype == np.int64 for array in found.values())
    assert found["input_ids"].min() >= 0 and 5 < found["input_ids"].max() < 10
    mask = found["attention_mask"]
    assert (mask[:, 0] == 1).all() and (np.diff(mask, axis=1) <= 0).all() and mask.min() == 0
    assert not found["token_type_ids"].any()
    assert (found["position_ids"] == np.arange(12)).all()


def test_the_seed_decides():
    first, again, other = (list(random_dataset(IMAGE, 40, seed).keys()) for seed in (1, 1, 2))
    assert first == again and not set(first) & set(other)
    assert first[:5] == list(random_dataset(IMAGE, 5, seed=1).keys())


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({"ranges": {"imag": (0, 1)}}, UsageError, "did you mean 'image'?"),
        ({"ranges": {"image": (1, 0)}}, UsageError, "is empty"),
        ({"samples": 0}, UsageError, "at least 1"),
        ({"shapes": {"image": (1, 4, 8, 8)}}, DataError, "dimension 1 must be 3, not 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, error, expected):
    with pytest.raises(error) as caught:
        random_dataset(IMAGE, **options)
    assert expected in str(caught.value)


def test_text_cannot_be_drawn():
    with pytest.raises(DataError, match="give calibration data"):
        random_dataset((TensorSpec("text", "str", ("N",)),))
