import numpy as np
import pytest
from PIL import Image

from octavo.data import Preprocess, open_dataset, overlap
from octavo.data.base import CHUNK
from octavo.data.checked import checked
from octavo.errors import DataError
from octavo.model import TensorSpec


def colour(value, side=8):
    return Image.new("RGB", (side, side), (value, 0, 255 - value))


def opened(source, inputs, **options):
    return open_dataset(source, inputs, role="evaluation", **options)


@pytest.fixture
def classes(tmp_path):
    """Three classes of 3, 1 and 2 pictures, one empty class, and things that are no data."""
    for name, values in {"zebra": [1, 2, 3], "ant": [11], "Bee": [21, 22], "empty": []}.items():
        (tmp_path / name).mkdir()
        for value in values:
            colour(value).save(tmp_path / name / f"{value:03}.png")
    (tmp_path / ".thumbnails").mkdir()
    colour(99).save(tmp_path / ".thumbnails" / "a.png")
    (tmp_path / "ant" / "._011.png").write_text("left by another system")
    (tmp_path / "ant" / "notes.txt").write_text("not a picture")
    return tmp_path


def reds(dataset):
    return [round(255 * r) for b in dataset.batches() for r in b.inputs["image"][:, 0, 0, 0]]


def labels(dataset):
    return [label for b in dataset.batches() for label in b.labels]


def test_sub_folders_are_classes_in_the_order_of_their_names(classes, picture):
    data = opened(f"images:{classes}", picture)
    assert data.labelled and data.size == 6
    # Bee 0, ant 1, empty 2, zebra 3
    assert sorted(zip(reds(data), labels(data), strict=True)) == [
        (1, 3), (2, 3), (3, 3), (11, 1), (21, 0), (22, 0),
    ]  # fmt: skip
    assert labels(data)[0].dtype == np.int64


def test_a_limit_takes_pictures_of_all_classes(classes, picture):
    data = opened(f"images:{classes}[:3]", picture)
    assert data.size == 3
    assert labels(data) == [0, 1, 3]
    assert len(list(data.keys())) == 3
    assert len(list(checked(data.source, 2, data.files).keys())) == 2


def test_pictures_below_the_class_folder_belong_to_the_class(classes, picture):
    (classes / "ant" / "more").mkdir()
    colour(12).save(classes / "ant" / "more" / "012.png")
    assert (12, 1) in zip(
        reds(opened(classes, picture)), labels(opened(classes, picture)), strict=True
    )


def test_a_flat_folder_has_no_labels(tmp_path, picture):
    for value, suffix in enumerate([".png", ".bmp", ".PNG", ".tiff", ".webp", ".ppm"]):
        colour(value).save(tmp_path / f"{value}{suffix}", lossless=True)
    data = opened(tmp_path, picture)
    assert not data.labelled
    assert reds(data) == [0, 1, 2, 3, 4, 5]


def test_pictures_are_read_a_chunk_at_a_time(tmp_path, picture):
    for index in range(CHUNK + 1):
        colour(index).save(tmp_path / f"{index:03}.png")
    last = tmp_path / f"{CHUNK:03}.png"
    data = opened(tmp_path, picture)
    last.write_bytes(b"")
    batches = data.batches()
    assert next(batches).samples == CHUNK
    with pytest.raises(DataError, match=last.name):
        next(batches)


def test_preprocessing_is_applied(tmp_path, picture):
    colour(51).save(tmp_path / "a.png")
    options = Preprocess(mean=(0.2, 0, 0), std=(1, 1, 0.5))
    pixels = next(opened(tmp_path, picture, preprocess=options).batches()).inputs["image"]
    np.testing.assert_allclose(pixels[0, :, 0, 0], [0, 0, 204 / 255 / 0.5], atol=1e-6)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"<html>not found</html>",
    ],
    ids=["truncated", "empty", "another format"],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, picture, suffix, damage):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    path = tmp_path / f"bad{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        opened(tmp_path, picture)
    assert str(caught.value).startswith(f"{path}: cannot be read as an image")


def test_a_picture_of_16_bits_is_refused(tmp_path, picture):
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: pixels of mode I"):
        opened(tmp_path, picture)


def test_pictures_beside_class_folders_are_refused(classes, picture):
    colour(0).save(classes / "stray.png")
    with pytest.raises(DataError, match=r"'stray\.png' has no class"):
        opened(f"images:{classes}", picture)


def test_a_folder_without_pictures_is_refused(tmp_path, picture):
    (tmp_path / "class").mkdir()
    with pytest.raises(DataError, match="no images"):
        opened(f"images:{tmp_path}", picture)


def test_a_file_is_no_folder_of_images(tmp_path, picture):
    colour(0).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="images are given as a folder"):
        opened(f"images:{tmp_path / 'a.png'}", picture)


@pytest.mark.parametrize(
    "inputs",
    [
        (TensorSpec("x", "float32", ("N", 3)),),
        (TensorSpec("a", "float32", ("N", 3, 8, 8)), TensorSpec("b", "float32", ("N", 1))),
    ],
)
def test_a_model_that_reads_no_images_is_told_so(classes, inputs):
    with pytest.raises(DataError, match="one input of 4 dimensions"):
        opened(f"images:{classes}", inputs)


def test_the_same_file_under_another_name_is_the_same_sample(tmp_path, picture):
    for folder, values in {"a": [1, 2, 3], "b": [3, 4]}.items():
        (tmp_path / folder).mkdir()
        for value in values:
            colour(value).save(tmp_path / folder / f"{folder}{value}.png")
    first = opened(tmp_path / "a", picture)
    second = opened(tmp_path / "b", picture, preprocess=Preprocess(mean=(0.5,)))
    assert overlap(first, second) == 1
    assert overlap(opened(f"{tmp_path / 'a'}[:2]", picture), second) == 0


def test_images_and_arrays_are_compared_by_their_inputs(tmp_path, picture):
    (tmp_path / "a").mkdir()
    for value in (1, 2, 3):
        colour(value).save(tmp_path / "a" / f"{value}.png")
    images = opened(tmp_path / "a", picture)
    pixels = next(images.batches()).inputs["image"]
    np.savez(tmp_path / "some.npz", image=pixels[1:])
    assert overlap(images, opened(tmp_path / "some.npz", picture)) == 2
    assert overlap(opened(tmp_path / "some.npz", picture), images) == 2
