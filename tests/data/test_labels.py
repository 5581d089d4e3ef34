import numpy as np
import pytest
from PIL import Image

from octavo.data import class_warnings, open_dataset
from octavo.model import TensorSpec


@pytest.fixture
def folder(tmp_path, picture):
    """Open a folder of one picture in each of some classes."""

    def make(role, *classes):
        for index, name in enumerate(classes):
            (tmp_path / role / name).mkdir(parents=True)
            image = Image.new("RGB", (8, 8), (index, 0, len(role)))
            image.save(tmp_path / role / name / "a.png")
        return open_dataset(tmp_path / role, picture, role=role)

    return make


def test_equal_class_folders_are_no_reason_to_warn(folder):
    assert class_warnings(folder("calibration", "a", "b"), folder("evaluation", "a", "b")) == []


def test_a_missing_class_folder_is_warned_of(folder):
    (warning,) = class_warnings(
        folder("calibration", "a", "b", "c"), folder("evaluation", "a", "c")
    )
    assert "calibration has 3 class folders and evaluation 2" in warning
    assert "the evaluation data have no folder 'b'" in warning
    assert "shifts those behind it" in warning


def test_other_names_of_as_many_classes_are_warned_of(folder):
    (warning,) = class_warnings(folder("calibration", "a", "b"), folder("evaluation", "a", "c"))
    assert (
        "evaluation data have no folder 'b' and the calibration data have no folder 'c'" in warning
    )


def test_many_missing_folders_are_counted(folder):
    names = [f"n{index:02}" for index in range(9)]
    (warning,) = class_warnings(folder("calibration", *names), folder("evaluation", "n00"))
    assert "'n01', 'n02', 'n03' and 5 more" in warning


def test_data_without_classes_are_not_compared(folder, picture):
    arrays = open_dataset([np.zeros((2, 3, 8, 8), np.float32)], picture, role="calibration")
    assert class_warnings(arrays, folder("evaluation", "a", "b")) == []
    assert class_warnings(None, None) == []


def labelled(labels):
    batch = (np.zeros((len(labels), 3), np.float32), labels)
    return open_dataset([batch], [TensorSpec("x", "float32", ("N", 3))], role="evaluation")


def test_one_hot_floats_are_told_of_with_the_metric_and_the_way_out():
    (warning,) = class_warnings(None, labelled(np.eye(4, dtype=np.float32)))
    assert "one-hot floats" in warning and "(mse)" in warning and "labels.argmax(axis=1)" in warning


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(4),
        np.ones((4, 1), np.float32),
        np.ones((4, 2), np.float32),
        np.eye(4, dtype=np.float32) * 0.5 + np.eye(4)[::-1] * 0.5,
        np.eye(4, dtype=np.float32) + 0.25 * (1 - np.eye(4)),
    ],
    ids=["numbers", "one value", "several labels", "mixed", "values"],
)
def test_other_labels_are_no_reason_to_warn(labels):
    assert class_warnings(None, labelled(labels)) == []
