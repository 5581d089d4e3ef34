import io
import zipfile

import numpy as np
import pytest

from octavo.data import open_dataset
from octavo.data.base import CHUNK
from octavo.errors import DataError
from octavo.model import TensorSpec


def opened(source, inputs, **options):
    return open_dataset(source, inputs, role="calibration", **options)


def samples(dataset, name="x"):
    return np.concatenate([batch.inputs[name] for batch in dataset.batches()])


def labels(dataset):
    return np.concatenate([batch.labels for batch in dataset.batches()])


def test_npz_holds_inputs_by_name_and_labels(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", x=rows(40).astype(np.float64), label=np.arange(40))
    data = opened(tmp_path / "a.npz", vector)
    assert (data.size, data.labelled, data.name) == (40, True, str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(samples(data), rows(40))
    np.testing.assert_array_equal(labels(data), np.arange(40))


def test_compressed_npz_of_several_inputs(tmp_path):
    inputs = (TensorSpec("ids", "int64", (1, None)), TensorSpec("mask", "int64", (1, None)))
    ids, mask = np.arange(20).reshape(5, 4), np.ones((5, 4), np.int32)
    np.savez_compressed(tmp_path / "a.npz", ids=ids, mask=mask)
    data = opened(tmp_path / "a.npz", inputs)
    assert not data.labelled
    np.testing.assert_array_equal(samples(data, "ids"), ids)
    np.testing.assert_array_equal(samples(data, "mask"), mask)


def test_an_array_without_a_name_is_the_only_input(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", rows(4), label=np.arange(4))
    data = opened(tmp_path / "a.npz", vector)
    np.testing.assert_array_equal(samples(data), rows(4))
    assert data.labelled


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_the_only_input(tmp_path, vector, rows, order):
    np.save(tmp_path / "a.npy", np.asarray(rows(2 * CHUNK + 1), order=order))
    data = opened(tmp_path / "a.npy", vector)
    assert (data.size, data.labelled) == (2 * CHUNK + 1, False)
    np.testing.assert_array_equal(samples(data), rows(2 * CHUNK + 1))


def test_a_file_is_given_in_bounded_pieces(tmp_path, vector, rows):
    np.save(tmp_path / "a.npy", rows(2 * CHUNK + 1))
    assert [b.samples for b in opened(tmp_path / "a.npy", vector).batches()] == [CHUNK, CHUNK, 1]


def test_the_files_of_a_folder_are_read_in_counting_order(tmp_path, vector, rows):
    for index in (10, 9, 1):
        np.savez(tmp_path / f"batch_{index}.npz", x=rows(2, first=index))
    (tmp_path / "notes.txt").write_text("not data")
    (tmp_path / "._batch_1.npz").write_text("left by another system")
    data = opened(tmp_path, vector)
    expected = np.concatenate([rows(2, first=index) for index in (1, 9, 10)])
    assert data.size == 6
    np.testing.assert_array_equal(samples(data), expected)


def test_sequences_of_different_lengths_are_never_put_into_one_batch(tmp_path):
    inputs = (TensorSpec("ids", "int64", ("N", "length")),)
    for index, length in enumerate([4, 4, 6]):
        np.savez(tmp_path / f"{index}.npz", ids=np.full((3, length), index))
    shapes = [b.inputs["ids"].shape for b in opened(tmp_path, inputs).batches(4)]
    assert shapes == [(4, 4), (2, 4), (3, 6)]


def test_every_pass_gives_the_same(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", x=rows(5))
    data = opened(tmp_path / "a.npz", vector)
    np.testing.assert_array_equal(samples(data), samples(data))
    assert list(data.keys()) == list(data.keys())


def test_a_limit_takes_the_first_samples(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", x=rows(50), label=np.arange(50))
    data = opened(f"npz:{tmp_path}[:35]", vector)
    assert data.size == 35
    assert [b.samples for b in data.batches(20)] == [20, 15]
    assert list(labels(data)) == list(range(35))
    assert len(list(data.keys())) == 35


def write_truncated_npz(path, rows):
    np.savez(path, x=rows(100))
    path.write_bytes(path.read_bytes()[:600])


def write_npz_with_a_damaged_value(path, rows):
    np.savez(path, x=rows(100))
    content = bytearray(path.read_bytes())
    content[700] ^= 0xFF
    path.write_bytes(bytes(content))


def write_truncated_npy(path, rows):
    np.save(path, rows(100))
    path.write_bytes(path.read_bytes()[:600])


def write_objects(path, rows):
    with zipfile.ZipFile(path, "w") as archive:
        member = io.BytesIO()
        np.save(member, np.array([{"a": 1}], object), allow_pickle=True)
        archive.writestr("x.npy", member.getvalue())


def write_other_member(path, rows):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", write_truncated_npz),
        ("a.npz", write_npz_with_a_damaged_value),
        ("a.npy", write_truncated_npy),
        ("a.npz", write_objects),
        ("a.npz", write_other_member),
        ("a.npz", lambda path, rows: path.write_bytes(b"")),
        ("a.npy", lambda path, rows: path.write_bytes(b"")),
        ("a.npz", lambda path, rows: path.write_text("id,value\n1,2\n")),
        ("a.npy", lambda path, rows: np.array([[{}]], object).dump(path)),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, vector, rows, name, write):
    write(tmp_path / name, rows)
    with pytest.raises(DataError) as caught:
        opened(tmp_path / name, vector)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: cannot be read (")
    assert "allow_pickle" not in message and "\n" not in message


def test_a_pickled_array_is_never_loaded(tmp_path, vector):
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (marker.touch, ())

    for name in ("a.npy", "b.npz"):
        path = tmp_path / name
        if name == "a.npy":
            np.save(path, np.array([Payload()], object), allow_pickle=True)
        else:
            np.savez(path, x=np.array([Payload()], object))
        with pytest.raises(DataError):
            opened(path, vector)
    assert not marker.exists()


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_a_file_without_samples_is_an_empty_data_set(tmp_path, vector, save):
    save(tmp_path / "a.npz", np.zeros((0, 3), np.float32))
    path = next(tmp_path.iterdir())
    with pytest.raises(DataError, match="empty"):
        opened(path, vector)


def test_an_npz_without_arrays_is_refused(tmp_path, vector):
    np.savez(tmp_path / "a.npz")
    with pytest.raises(DataError, match="input 'x' is missing"):
        opened(tmp_path / "a.npz", vector)


def test_an_error_names_the_file_of_a_folder_and_the_sample(tmp_path, vector, rows):
    good, bad = rows(40), rows(40)
    bad[37, 1] = np.nan
    np.savez(tmp_path / "1.npz", x=good)
    np.savez(tmp_path / "2.npz", x=bad)
    data = opened(tmp_path, vector)
    with pytest.raises(DataError, match=r"2\.npz: input 'x' of sample 37 is NaN"):
        list(data.batches())


def test_labels_in_some_files_only_are_refused(tmp_path, vector, rows):
    np.savez(tmp_path / "1.npz", x=rows(2), label=np.arange(2))
    np.savez(tmp_path / "2.npz", x=rows(2))
    with pytest.raises(DataError, match="some batches have labels"):
        list(opened(tmp_path, vector).batches())


def test_a_folder_with_no_array_file_is_refused(tmp_path, vector):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"no \.npz or \.npy file"):
        opened(f"npz:{tmp_path}", vector)
