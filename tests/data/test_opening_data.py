import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from octavo.data import LabelledBatch, open_dataset, overlap
from octavo.errors import DataError, OctavoError, UsageError
from octavo.model import TensorSpec


def opened(source, inputs, role="calibration", **options):
    return open_dataset(source, inputs, role=role, **options)


def samples(dataset):
    return np.concatenate([batch.inputs["x"] for batch in dataset.batches()])


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Write a module into the current folder, which is on no path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name, code):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


@pytest.mark.parametrize("spec", ["digits[:70]", "digits:70"])
def test_digits_have_samples_of_their_own_for_each_role(spec):
    inputs = (TensorSpec("pixels", "float32", (1, 3, 64, 64)),)
    calibration, evaluation = opened(spec, inputs), opened(spec, inputs, role="evaluation")
    assert (calibration.size, calibration.name, calibration.labelled) == (70, spec, True)
    assert [b.inputs["pixels"].shape[0] for b in calibration.batches(50)] == [50, 20]
    assert overlap(calibration, evaluation) == 0
    assert overlap(calibration, calibration) == 70


def test_digits_that_do_not_fit_the_model_are_refused(vector):
    with pytest.raises(DataError, match="digits"):
        opened("digits[:10]", vector)


@pytest.mark.parametrize("form", ["{}", "npz:{}", "{}[:9]", "npz:{}:9"])
def test_a_file_is_opened_by_every_form(tmp_path, vector, rows, form):
    np.savez(tmp_path / "a.npz", x=rows(9))
    np.testing.assert_array_equal(samples(opened(form.format(tmp_path / "a.npz"), vector)), rows(9))


def test_the_smaller_of_two_limits_holds(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", x=rows(9))
    assert opened(f"{tmp_path}/a.npz[:4]", vector, limit=6).size == 4
    assert opened(f"{tmp_path}/a.npz[:6]", vector, limit=4).size == 4
    assert opened(f"{tmp_path}/a.npz[:60]", vector).size == 9


def test_a_default_limit_gives_way_to_a_number_in_the_specification(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", x=rows(9))
    assert opened(f"{tmp_path}/a.npz", vector, default=4).size == 4
    assert opened(f"{tmp_path}/a.npz:6", vector, default=4).size == 6
    assert opened(f"{tmp_path}/a.npz:6", vector, default=4, limit=5).size == 5
    assert opened([rows(9)], vector, default=4).size == 4


def test_a_path_that_ends_like_a_limit_is_a_path(tmp_path, vector, rows):
    folder = tmp_path / "run:3"
    folder.mkdir()
    np.savez(folder / "a.npz", x=rows(9))
    assert opened(str(folder), vector).size == 9


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(vector, rows, limit):
    with pytest.raises(UsageError, match="at least 1"):
        opened([rows(3)], vector, limit=limit)


def test_a_batch_size_below_one_is_refused(vector, rows):
    with pytest.raises(UsageError, match="at least 1"):
        opened([rows(3)], vector).batches(0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("no/such/folder", "no/such/folder: no such file or folder; data are digits:N"),
        ("d/npy.npz", "d/npy.npz: no such file or folder; data are digits:N"),
        ("npz:missing.npz", "no such file or folder: missing.npz"),
        ("images:missing[:3]", "no such file or folder: missing;"),
        ("digitz", "did you mean 'digits'?"),
        ("image:some/folder", "did you mean 'images'?"),
        ("digits[5:]", "data are digits:N"),
        ("digits[:0]", "at least 1"),
        ("", "no data were named"),
        ("  ", "no data were named"),
    ],
)
def test_what_names_no_data_is_refused_with_a_hint(vector, source, expected):
    with pytest.raises(OctavoError) as caught:
        opened(source, vector)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_form_that_exists_is_not_suggested_for_itself(vector):
    with pytest.raises(DataError) as caught:
        opened("images:missing", vector)
    assert "did you mean" not in str(caught.value)


def test_a_file_of_another_kind_is_refused(tmp_path, vector):
    (tmp_path / "a.csv").write_text("1,2,3")
    with pytest.raises(DataError, match=r"\.csv files are not read as data"):
        opened(tmp_path / "a.csv", vector)


def test_an_empty_folder_is_refused(tmp_path, vector):
    with pytest.raises(DataError, match="the folder has no data"):
        opened(tmp_path, vector)


def test_arrays_and_images_in_one_folder_need_a_word(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", x=rows(2))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"say npz:.* or images:"):
        opened(tmp_path, vector)
    assert opened(f"npz:{tmp_path}", vector).size == 2


def test_a_function_of_the_users_own_gives_data(user_module, vector, rows):
    user_module(
        "my_loader",
        """
        import numpy as np

        def batches():
            for index in range(3):
                yield np.full((4, 3), index), np.full(4, index)
        """,
    )
    data = opened("my_loader:batches[:10]", vector)
    assert (data.size, data.labelled, data.name) == (10, True, "my_loader:batches[:10]")
    assert samples(data)[:, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 2


@pytest.mark.parametrize(
    ("code", "source", "error", "expected"),
    [
        ("", "my_missing:batches", UsageError, "no module 'my_missing'"),
        ("import no_such_thing", "my_code:batches", UsageError, "needs another module"),
        ("1 / 0", "my_code:batches", UsageError, "importing my_code failed: ZeroDivisionError"),
        ("def f(:", "my_code:batches", UsageError, "importing my_code failed: SyntaxError"),
        ("def batches(): ...", "my_code:batchs", UsageError, "did you mean 'batches'?"),
        ("batches = 3", "my_code:batches", UsageError, "not a function"),
        ("def batches(): 1 / 0", "my_code:batches", DataError, "ZeroDivisionError"),
        ("def batches(path): ...", "my_code:batches", DataError, "TypeError"),
        ("def batches(): return None", "my_code:batches", DataError, "not a NoneType"),
    ],
)
def test_a_function_that_does_not_work_is_explained(
    user_module, vector, code, source, error, expected
):
    user_module("my_code", code)
    with pytest.raises(error) as caught:
        opened(source, vector)
    assert expected in str(caught.value)


class Given:
    """A data set written by a user."""

    name = "given"
    labelled = True
    size = None

    def __init__(self, *batches):
        self.given = batches

    def batches(self, batch_size=None):
        yield from self.given

    def keys(self):
        yield from ()


def test_a_data_set_is_checked_like_everything_else(vector, rows):
    data = opened(Given(LabelledBatch({"x": rows(5)}, np.arange(5))), vector)
    assert (data.name, data.size, data.labelled) == ("given", None, True)
    assert [batch.samples for batch in data.batches(2)] == [2, 2, 1]
    assert len(set(data.keys())) == 5
    with pytest.raises(DataError, match="given, batch 0: the model has no input 'y'"):
        opened(Given(LabelledBatch({"y": rows(5)}, None)), vector)


def test_overlap_counts_evaluation_samples_that_were_calibrated_on(tmp_path, vector, rows):
    np.savez(tmp_path / "a.npz", x=rows(10).astype(np.float64), label=np.arange(10))
    other = [rows(4, first=8), rows(4, first=20)]
    assert overlap(opened(tmp_path / "a.npz", vector), opened(other, vector)) == 2
    assert overlap(opened(other, vector), opened(tmp_path / "a.npz", vector)) == 2
