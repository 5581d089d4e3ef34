import zipfile

import numpy as np
import pytest

from octavo.backends.base import Observer
from octavo.errors import ArtifactError, DataError, NonFiniteError, UsageError
from octavo.measure import Statistics, TensorStatistics


@pytest.fixture
def statistics():
    made = Statistics(["image", "conv/out:0", "unseen"], channel_axes={"conv/out:0": 1}, limit=40)
    random = np.random.default_rng(0)
    made.update("image", random.normal(size=(4, 100)).astype(np.float32))
    made.update("conv/out:0", random.normal(size=(4, 3, 100)).astype(np.float32))
    return made


def state(statistics):
    return {
        name: {key: (a.dtype, a.tobytes()) for key, a in statistics[name].to_arrays().items()}
        for name in statistics.tensors
    }


def test_it_is_an_observer(statistics):
    observer: Observer = statistics
    assert observer.tensors == ("image", "conv/out:0", "unseen")


def test_each_tensor_gets_its_own_statistics(statistics):
    alone = TensorStatistics(channel_axis=1, limit=40)
    random = np.random.default_rng(0)
    random.normal(size=(4, 100))
    alone.update(random.normal(size=(4, 3, 100)).astype(np.float32))
    assert statistics["conv/out:0"].histogram == alone.histogram
    assert np.array_equal(statistics["conv/out:0"].channel_minimum, alone.channel_minimum)


def test_non_finite_values_are_reported_with_the_tensors_name(statistics):
    with pytest.raises(NonFiniteError, match="'image' holds 1 values") as caught:
        statistics.update("image", np.array([[1, np.nan]], np.float32))
    assert caught.value.tensor == "image"


def test_unusable_values_are_reported_with_the_tensors_name(statistics):
    with pytest.raises(DataError, match=r"tensor 'conv/out:0': .*4 channels"):
        statistics.update("conv/out:0", np.ones((1, 4, 2), np.float32))


def test_an_unknown_tensor_is_an_error_with_the_nearest_name(statistics):
    with pytest.raises(UsageError, match="'imag' is not measured; did you mean 'image'"):
        statistics.update("imag", np.ones(1))


def test_statistics_survive_a_file_bit_for_bit(statistics, tmp_path):
    statistics.save(tmp_path / "seen.stats")
    loaded = Statistics.load(tmp_path / "seen.stats")
    assert loaded.tensors == statistics.tensors
    assert state(loaded) == state(statistics)
    assert [path.name for path in tmp_path.iterdir()] == ["seen.stats"]


def test_loaded_statistics_go_on_like_those_saved(statistics, tmp_path):
    statistics.save(tmp_path / "seen.npz")
    loaded = Statistics.load(tmp_path / "seen.npz")
    more = np.random.default_rng(1).normal(scale=100, size=(2, 3, 50)).astype(np.float32)
    for each in (statistics, loaded):
        each.update("conv/out:0", more)
    assert state(loaded) == state(statistics)


def test_nothing_in_the_file_is_pickled(statistics, tmp_path):
    statistics.save(tmp_path / "seen.npz")
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as file:
        assert all(file[key].dtype.kind in "iufU" for key in file)


def test_statistics_of_no_tensors_survive_a_file(tmp_path):
    Statistics([]).save(tmp_path / "none.npz")
    assert Statistics.load(tmp_path / "none.npz").tensors == ()


def missing(path):
    pass


def truncated(path):
    Statistics(["a"]).save(path)
    path.write_bytes(path.read_bytes()[:-100])


def single_array(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def pickled(path):
    with path.open("wb") as file:
        np.savez(file, tensors=np.array([{"a": 1}], dtype=object))


def foreign(path):
    with path.open("wb") as file:
        np.savez(file, weights=np.ones(3))


def incomplete(path):
    with path.open("wb") as file:
        np.savez(file, tensors=np.array(["a"]))


def not_arrays(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tensors", "a")


@pytest.mark.parametrize(
    "spoil", [missing, truncated, single_array, pickled, foreign, incomplete, not_arrays]
)
def test_a_damaged_or_foreign_file_is_refused(spoil, tmp_path):
    path = tmp_path / "seen.npz"
    spoil(path)
    with pytest.raises(DataError, match="does not hold statistics"):
        Statistics.load(path)


def test_a_folder_that_is_not_there_is_an_error(statistics, tmp_path):
    with pytest.raises(ArtifactError, match="cannot write statistics"):
        statistics.save(tmp_path / "nowhere" / "seen.npz")


def test_a_failed_save_leaves_what_was_there(statistics, tmp_path, monkeypatch):
    path = tmp_path / "seen.npz"
    statistics.save(path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        statistics.save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["seen.npz"]


def test_merging_is_as_if_all_had_been_seen_in_one_place():
    random = np.random.default_rng(2)
    samples = {name: random.normal(size=(6, 40)).astype(np.float32) for name in "ab"}
    whole, half, other = Statistics("ab"), Statistics("ab"), Statistics("ba")
    for name, values in samples.items():
        whole.update(name, values)
        half.update(name, values[4:])
        other.update(name, values[:4])
    half.merge(other)
    assert state(half) == state(whole)


def test_statistics_of_other_tensors_are_not_merged():
    with pytest.raises(UsageError, match="same tensors"):
        Statistics("ab").merge(Statistics("bc"))
