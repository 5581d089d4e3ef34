import errno
import gc

import numpy as np
import pytest

from octavo.data import open_dataset
from octavo.data.binding import Binder
from octavo.data.recorded import record
from octavo.errors import DataError


def opened(source, inputs, **options):
    return open_dataset(source, inputs, role="calibration", **options)


def samples(dataset):
    return np.concatenate([batch.inputs["x"] for batch in dataset.batches()])


def labels(dataset):
    return np.concatenate([batch.labels for batch in dataset.batches()])


@pytest.mark.parametrize("memory_limit", [0, 100, 2**20])
def test_a_generator_can_be_read_again(vector, rows, memory_limit):
    given = ((rows(4, first=index), np.full(4, index)) for index in range(5))
    data = opened(given, vector, memory_limit=memory_limit)
    expected = np.concatenate([rows(4, first=index) for index in range(5)])
    assert (data.size, data.labelled, data.name) == (20, True, "calibration data")
    for _ in range(2):
        np.testing.assert_array_equal(samples(data), expected)
        np.testing.assert_array_equal(labels(data), np.repeat(np.arange(5), 4))


def test_a_loader_that_shuffles_gives_one_order(vector, rows):
    class Loader:
        random = np.random.default_rng(0)

        def __iter__(self):
            return iter(self.random.permutation(rows(64)).reshape(8, 8, 3))

    data = opened(Loader(), vector)
    np.testing.assert_array_equal(samples(data), samples(data))


@pytest.mark.parametrize("memory_limit", [0, 2**20])
def test_a_buffer_that_is_used_again_does_not_change_earlier_batches(vector, rows, memory_limit):
    def reusing():
        buffer = np.empty((4, 3), np.float32)
        for index in range(3):
            buffer[:] = index
            yield buffer

    data = opened(reusing(), vector, memory_limit=memory_limit)
    assert samples(data)[::4, 0].tolist() == [0, 1, 2]


def test_a_large_recording_is_spooled_and_the_files_are_removed_with_it(vector, rows):
    given = (rows(10, first=index) for index in range(10))
    recording = record(given, Binder(vector), "data", memory_limit=400)
    folder = recording.folder.path
    assert len(list(folder.glob("*.npz"))) == 7  # 120 bytes a batch: three stay in memory
    del recording
    gc.collect()
    assert not folder.exists()


def test_names_that_are_no_keywords_are_spooled(rows):
    from octavo.model import TensorSpec

    inputs = (TensorSpec("file", "float32", (1, 3)), TensorSpec("a/../b:0", "float32", (1, 3)))
    given = iter([{"file": rows(2), "a/../b:0": rows(2, first=9)}])
    batch = next(opened(given, inputs, memory_limit=0).batches())
    np.testing.assert_array_equal(batch.inputs["file"], rows(2))
    np.testing.assert_array_equal(batch.inputs["a/../b:0"], rows(2, first=9))


def test_an_endless_iterable_is_read_up_to_the_limit(vector, rows):
    def endless():
        index = 0
        while True:
            yield rows(4, first=index)
            index += 1

    data = opened(endless(), vector, limit=10)
    assert data.size == 10
    assert len(samples(data)) == 10


@pytest.mark.parametrize("wrap", [list, tuple])
def test_a_list_of_batches_is_not_copied(vector, rows, wrap):
    batches = wrap([rows(2), rows(2), rows(2)])
    data = opened(batches, vector)
    assert all(a is b.inputs["x"] for a, b in zip(batches, data.batches(), strict=True))


def test_a_single_array_or_dict_or_pair_is_one_batch(vector, rows):
    for source in (rows(6), {"x": rows(6)}, (rows(6), np.arange(6)), ({"x": rows(6)}, range(6))):
        data = opened(source, vector)
        assert data.size == 6
        np.testing.assert_array_equal(samples(data), rows(6))
        assert data.labelled == isinstance(source, tuple)


def test_samples_without_a_sample_axis_are_explained(vector, rows):
    with pytest.raises(DataError, match=r"batch 0: .*add it with array\[None\]"):
        opened(list(rows(4)), vector)


def test_an_iterable_that_fails_is_an_error_with_its_cause(vector, rows):
    def failing():
        yield rows(2)
        raise ZeroDivisionError("by chance")

    with pytest.raises(DataError, match="ZeroDivisionError: by chance") as caught:
        opened(failing(), vector)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_batch_and_sample_that_is_wrong_is_named(vector, rows):
    bad = rows(4)
    bad[3, 0] = np.inf
    with pytest.raises(DataError, match="calibration data, batch 1: input 'x' of sample 3 is"):
        opened([rows(4), bad], vector)


@pytest.mark.parametrize("source", [[], iter(()), [np.zeros((0, 3))], np.zeros((0, 3))])
def test_no_samples_are_an_error(vector, source):
    with pytest.raises(DataError, match="empty"):
        opened(source, vector)


@pytest.mark.parametrize("source", [None, 3, object()])
def test_what_is_no_iterable_is_refused(vector, source):
    with pytest.raises(DataError, match="an iterable of batches; not a"):
        opened(source, vector)


def test_labels_in_some_batches_only_are_refused(vector, rows):
    data = opened([(rows(2), [0, 1]), rows(2)], vector)
    with pytest.raises(DataError, match="some batches have labels"):
        list(data.batches())


def test_a_full_disk_is_told_and_leaves_no_files(vector, rows, monkeypatch, tmp_path):
    def full(path, *arrays):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match=r"No space left on device.*TMPDIR"):
        opened((rows(4) for _ in range(3)), vector, memory_limit=0)
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_an_unwritable_temporary_folder_is_told(vector, rows, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(DataError, match=r"No such file or directory.*TMPDIR"):
        opened((rows(4) for _ in range(3)), vector, memory_limit=0)
