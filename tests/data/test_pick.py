"""Some samples of a data set, by their place in it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.data import open_dataset
from octavo.data.checked import pick
from octavo.model import TensorSpec

INPUTS = (TensorSpec("x", "float32", ("N", 3)),)
VALUES = np.arange(60, dtype=np.float32).reshape(20, 3)


def ragged():
    """Twenty samples in batches of 1 to 5."""
    starts = np.cumsum([0, 1, 5, 2, 3, 4, 5])
    return [(VALUES[low:high], np.arange(low, high)) for low, high in pairwise(starts)]


@given(st.sets(st.integers(0, 19), max_size=20), st.integers(1, 7))
@settings(max_examples=50)
def test_the_samples_of_the_indices_come_in_order(chosen, size):
    dataset = open_dataset(ragged(), INPUTS, role="evaluation")
    indices = np.array(sorted(chosen), np.int64)
    batches = list(pick(dataset, indices, size))
    assert all(batch.samples <= size for batch in batches)
    assert [label for batch in batches for label in batch.labels] == sorted(chosen)
    rows = [row.tolist() for batch in batches for row in batch.inputs["x"]]
    assert rows == VALUES[indices].tolist()


def test_only_wanted_pictures_are_read(tmp_path, monkeypatch):
    from PIL import Image

    from octavo.data import preprocess

    for number in range(6):
        (tmp_path / f"class{number % 2}").mkdir(exist_ok=True)
        picture = Image.fromarray(np.full((4, 4, 3), 10 * number, np.uint8))
        picture.save(tmp_path / f"class{number % 2}" / f"{number}.png")
    inputs = (TensorSpec("x", "float32", ("N", 3, 4, 4)),)
    dataset = open_dataset(f"images:{tmp_path}", inputs, role="evaluation")
    everything = [batch for batch in dataset.batches(1)]
    read = []
    real = preprocess.ImageReader.read
    monkeypatch.setattr(
        preprocess.ImageReader, "read", lambda self, file: read.append(file) or real(self, file)
    )
    (batch,) = pick(dataset, np.array([1, 4]), 8)
    assert len(read) == 2
    for row, place in enumerate((1, 4)):
        np.testing.assert_array_equal(batch.inputs["x"][row], everything[place].inputs["x"][0])
        assert batch.labels[row] == everything[place].labels[0]


@pytest.mark.parametrize("indices", [[0], [19], [0, 19]])
def test_reading_stops_after_the_last_sample(indices):
    from octavo.data.base import LabelledBatch
    from octavo.data.batching import rows_at

    seen = []

    def batches():
        for place in range(20):
            seen.append(place)
            yield LabelledBatch({"x": VALUES[place : place + 1]}, None)

    found = list(rows_at(batches(), np.array(indices)))
    assert [one.inputs["x"][0, 0] for one in found] == [VALUES[i, 0] for i in indices]
    assert len(seen) <= indices[-1] + 2
