"""Composed digits: deterministic, disjoint between splits, and checked against the model."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from octavo.data.base import Dataset
from octavo.data.digits import DigitScenes, open_digits, scenes
from octavo.data.scenes import covered_blocks, scene_blocks, source_indices
from octavo.errors import DataError, UsageError
from octavo.model import TensorSpec

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits" / "scenes.onnx"
IMAGE = TensorSpec("image", "float32", ("batch", 3, 64, 64))
SPLITS = ("train", "calibration", "evaluation")


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_are_float32_images_in_unit_range_with_int64_labels(split):
    images, labels = scenes(split, 70, seed=1)
    assert (images.dtype, images.shape) == (np.float32, (70, 3, 64, 64))
    assert images.min() >= 0.0 and images.max() <= 1.0
    assert (labels.dtype, labels.shape) == (np.int64, (70,))


def test_all_ten_digits_occur_about_equally_often():
    _, labels = scenes("evaluation", 2000, seed=0)
    assert np.bincount(labels, minlength=10).min() > 140


def test_the_same_seed_gives_the_same_scenes():
    for first, second in zip(scenes("train", 65, 3), scenes("train", 65, 3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_scenes():
    assert not np.array_equal(scenes("train", 4, 3)[0], scenes("train", 4, 4)[0])


def test_another_split_of_the_same_seed_is_placed_otherwise():
    calibration, evaluation = (
        DigitScenes(IMAGE, split, 64) for split in ("calibration", "evaluation")
    )
    assert set(calibration.keys()).isdisjoint(evaluation.keys())


def test_a_smaller_count_gives_the_first_of_the_same_scenes():
    few, many = scenes("evaluation", 5), scenes("evaluation", 130)
    np.testing.assert_array_equal(few[0], many[0][:5])
    np.testing.assert_array_equal(few[1], many[1][:5])


def test_splits_share_no_digit_and_use_all():
    parts = [set(source_indices(split)) for split in SPLITS]
    assert all(first.isdisjoint(second) for first, second in itertools.combinations(parts, 2))
    assert set.union(*parts) == set(range(1797))


def test_no_digit_of_one_split_has_a_copy_in_another():
    digits = load_digits().data.astype(np.uint8)
    parts = [{digits[i].tobytes() for i in source_indices(split)} for split in SPLITS]
    assert all(first.isdisjoint(second) for first, second in itertools.combinations(parts, 2))


def test_two_thousand_evaluation_scenes_are_all_distinct():
    assert len(set(DigitScenes(IMAGE, "evaluation", 2000).keys())) == 2000


def test_a_block_is_made_only_when_it_is_asked_for():
    images, _ = next(scene_blocks("train", 10**12))
    assert len(images) == 64


def test_the_example_network_reads_the_labels_of_most_scenes():
    """Labels, splits and the committed file belong together: it was trained on other digits."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(EXAMPLE, providers=["CPUExecutionProvider"])
    images, labels = scenes("evaluation", 512)
    (logits,) = session.run(["logits"], {"image": images})
    assert 0.9 < (logits.argmax(1) == labels).mean() < 0.99


def test_the_example_network_is_one_small_file_of_any_batch_size():
    onnx = pytest.importorskip("onnx")
    model = onnx.load(EXAMPLE, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert EXAMPLE.stat().st_size < 3_000_000
    assert model.opset_import[0].version >= 17
    assert [value.name for value in model.graph.output] == ["logits"]
    (image,) = model.graph.input
    sizes = [size.dim_param or size.dim_value for size in image.type.tensor_type.shape.dim]
    assert (image.name, sizes) == ("image", ["batch", 3, 64, 64])


@pytest.mark.parametrize("batch_size", [1, 7, 32, 100])
def test_batches_of_any_size_hold_the_same_scenes(batch_size):
    data = DigitScenes(IMAGE, "calibration", 100)
    batches = list(data.batches(batch_size))
    images, labels = scenes("calibration", 100)
    assert {len(batch.inputs["image"]) for batch in batches[:-1]} <= {batch_size}
    np.testing.assert_array_equal(np.concatenate([b.inputs["image"] for b in batches]), images)
    np.testing.assert_array_equal(np.concatenate([b.labels for b in batches]), labels)


def test_batches_can_be_read_again():
    data = DigitScenes(IMAGE, "calibration", 40)
    assert list(data.keys()) == list(data.keys())


def test_it_is_a_data_set_of_the_protocol():
    data: Dataset = open_digits("digits:40", [IMAGE], "calibration")
    assert (data.name, data.size, data.labelled) == ("digits:40", 40, True)
    assert sum(len(batch.labels) for batch in data.batches()) == 40
    assert len(list(data.keys())) == 40


def test_the_role_selects_the_split():
    batch = next(open_digits("digits:9", [IMAGE], "evaluation").batches())
    np.testing.assert_array_equal(batch.inputs["image"], scenes("evaluation", 9)[0])


def test_without_a_count_there_are_at_least_2000_scenes_to_evaluate():
    assert open_digits("digits", [IMAGE], "evaluation").size >= 2000
    assert open_digits("digits", [IMAGE], "calibration").size == 300


def test_arrays_are_named_after_the_models_input():
    data = open_digits("digits:2", [TensorSpec("x", "float32", (None, 3, "h", "w"))], "evaluation")
    assert list(next(data.batches()).inputs) == ["x"]


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("image", "float32", ("batch", 1, 64, 64)),
        TensorSpec("image", "float32", ("batch", 3, 224, 224)),
        TensorSpec("image", "float32", ("batch", 64, 64, 3)),
        TensorSpec("image", "float32", ("batch", 64)),
        TensorSpec("ids", "int64", ("batch", 3, 64, 64)),
    ],
    ids=str,
)
def test_a_model_that_the_scenes_do_not_fit_is_refused_by_name_and_shape(spec):
    with pytest.raises(DataError, match=r"float32 \[N, 3, 64, 64\].*" + spec.name + r": \w+\["):
        open_digits("digits", [spec], "calibration")


def test_a_model_of_two_inputs_is_refused():
    with pytest.raises(DataError, match=r"one input.*2 \(image, image\)"):
        open_digits("digits", [IMAGE, IMAGE], "calibration")


@pytest.mark.parametrize("text", ["digits:", "digits:x", "digits:-3", "digits:1.5", "digit:3"])
def test_a_malformed_specification_is_refused_with_the_form(text):
    with pytest.raises(UsageError, match="digits:COUNT"):
        open_digits(text, [IMAGE], "calibration")


@pytest.mark.parametrize("count", [0, -1])
def test_no_scenes_at_all_is_refused(count):
    with pytest.raises(UsageError, match=f"{count} scenes were asked for"):
        scenes("train", count)


def test_an_unknown_split_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'evaluation'"):
        scenes("evaluate", 1)


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(UsageError, match="batch size of 0"):
        DigitScenes(IMAGE, "calibration", 1).batches(0)


def test_the_cover_of_a_digit_is_where_its_colour_is_painted() -> None:
    """Without noise a pixel that is covered whole has one colour; cover goes with the image."""
    images, labels, cover = next(covered_blocks("calibration", 16))
    assert np.array_equal(images, scenes("calibration", 16)[0])
    assert np.array_equal(labels, scenes("calibration", 16)[1])
    assert cover.shape == (16, 64, 64) and cover.min() == 0 and cover.max() == 1
    for image, share in zip(images, cover, strict=True):
        inside, outside = image[:, share == 1], image[:, share == 0]
        assert inside.std(axis=1).mean() < 0.06  # noise alone
        assert 0.02 < (share > 0.5).mean() < 0.4
        assert outside.shape[1] > inside.shape[1]
