"""Whether the labels of data sets look like a mistake."""

from __future__ import annotations

import numpy as np

from octavo.arrays import Array
from octavo.data.base import Dataset
from octavo.data.checked import CheckedDataset
from octavo.data.images import ImageFolder


def class_warnings(calibration: Dataset | None, evaluation: Dataset | None) -> list[str]:
    """Return what looks wrong with the classes, one sentence each.

    Two image folders should have the same class folders, since a label is the number of its folder
    among all. Labels that are one-hot floats would be taken for values.

    Args:
        calibration: None for no calibration data.
        evaluation: None for no evaluation data.
    """
    first, second = _classes(calibration), _classes(evaluation)
    found = [_different_classes(first, second)] if first and second and first != second else []
    if evaluation is not None and evaluation.labelled and _are_one_hot(evaluation):
        found.append(
            f"the labels of {evaluation.name} are one-hot floats, which are compared with the "
            "outputs as numbers (mse) unless a metric is given; for top1 give class numbers: "
            "labels.argmax(axis=1)"
        )
    return found


def _classes(dataset: Dataset | None) -> tuple[str, ...]:
    source = dataset.source if isinstance(dataset, CheckedDataset) else None
    return source.classes if isinstance(source, ImageFolder) else ()


def _different_classes(calibration: tuple[str, ...], evaluation: tuple[str, ...]) -> str:
    lacking = {
        "evaluation": sorted(set(calibration) - set(evaluation)),
        "calibration": sorted(set(evaluation) - set(calibration)),
    }
    missing = " and ".join(
        f"the {role} data have no folder {_some(names)}" for role, names in lacking.items() if names
    )
    return (
        f"calibration has {len(calibration)} class folders and evaluation {len(evaluation)}: "
        f"{missing}; labels count the folders, so that a missing one shifts those behind it: add "
        "an empty folder for it"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more


def _are_one_hot(dataset: Dataset) -> bool:
    labels = next(iter(dataset.batches())).labels
    return labels is not None and _is_one_hot(labels)


def _is_one_hot(labels: Array) -> bool:
    """Whether each row of a float array `[N, C]`, C at least 2, is one 1 among zeros."""
    if labels.dtype.kind != "f" or labels.ndim != 2 or labels.shape[1] < 2:
        return False
    ones = np.count_nonzero(labels == 1, axis=1)
    return bool(np.all(ones == 1) and np.all((labels == 0) | (labels == 1)))
