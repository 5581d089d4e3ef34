import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.data.base import LabelledBatch
from octavo.data.batching import first_samples, rebatched, sample_keys

lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), max_size=8)


def numbered(sizes):
    """Batches of (samples, width), whose samples and labels are numbered through."""
    batches, first = [], 0
    for samples, width in sizes:
        numbers = np.arange(first, first + samples)
        values = np.repeat(numbers[:, None].astype(np.float32), width, axis=1)
        batches.append(LabelledBatch({"x": values, "scalar": np.float32(3)}, numbers))
        first += samples
    return batches


def rows(batches):
    return [tuple(row) for batch in batches for row in batch.inputs["x"]]


@given(lengths, st.integers(1, 11))
def test_rebatching_keeps_samples_labels_and_order(sizes, size):
    batches = numbered(sizes)
    result = list(rebatched(batches, size))
    assert rows(result) == rows(batches)
    assert [label for b in result for label in b.labels] == list(range(sum(n for n, _ in sizes)))


@given(lengths, st.integers(1, 11))
def test_only_the_end_and_a_change_of_shape_make_smaller_batches(sizes, size):
    result = list(rebatched(numbered(sizes), size))
    widths = [batch.inputs["x"].shape[1] for batch in result]
    for index, batch in enumerate(result):
        assert 1 <= batch.samples <= size
        if batch.samples < size:
            assert index == len(result) - 1 or widths[index + 1] != widths[index]


@given(lengths, st.integers(1, 20))
def test_first_samples_are_a_prefix_of_the_asked_length(sizes, limit):
    batches = numbered(sizes)
    assert rows(first_samples(batches, limit)) == rows(batches)[:limit]


def test_first_samples_reads_no_batch_too_many():
    def endless():
        yield from numbered([(4, 1), (4, 1)])
        raise AssertionError("a third batch was read")

    assert sum(batch.samples for batch in first_samples(endless(), 8)) == 8


def test_arrays_without_axes_belong_to_every_sample():
    result = list(rebatched(numbered([(3, 1), (3, 1)]), 4))
    assert [batch.inputs["scalar"].shape for batch in result] == [(), ()]


@given(lengths, st.integers(1, 11))
def test_keys_do_not_depend_on_batches(sizes, size):
    batches = numbered(sizes)
    expected = [key for batch in batches for key in sample_keys(batch)]
    assert [key for batch in rebatched(batches, size) for key in sample_keys(batch)] == expected
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize(
    "other",
    [
        {"y": np.zeros((1, 2), np.float32)},
        {"x": np.zeros((1, 2), np.int32)},
        {"x": np.zeros((1, 2, 1), np.float32)},
        {"x": np.ones((1, 2), np.float32)},
    ],
    ids=["name", "dtype", "shape", "values"],
)
def test_keys_tell_samples_apart(other):
    zeros = LabelledBatch({"x": np.zeros((1, 2), np.float32)}, None)
    assert list(sample_keys(zeros)) != list(sample_keys(LabelledBatch(other, None)))


def test_keys_are_made_from_inputs_only():
    inputs = {"x": np.zeros((1, 2), np.float32)}
    labelled = LabelledBatch(inputs, np.array([1]))
    assert list(sample_keys(labelled)) == list(sample_keys(LabelledBatch(inputs, None)))
