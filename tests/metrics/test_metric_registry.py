import sys

import numpy as np
import pytest

from octavo.errors import DataError, OctavoError, UsageError
from octavo.metrics import METRICS, get_metric

OUTPUTS = {"y": np.array([[1.0], [2.0], [3.0]])}
LABELS = np.array([1.0, 2.0, 5.0])


def distance(outputs, labels):
    return np.abs(outputs["y"][:, 0] - labels)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_made_new_and_tells_its_name(name):
    metric = get_metric(name)
    assert metric.name == name
    assert metric is not get_metric(name)
    assert metric.needs == ("reference" if name == "agreement" else "labels")
    assert metric.higher_is_better == (name not in ("mse", "mae"))
    assert metric.per_sample == (name not in ("f1", "f1_macro"))


@pytest.mark.parametrize("name", [*METRICS, distance])
def test_a_metric_without_samples_has_no_value(name):
    with pytest.raises(DataError, match="no sample was evaluated"):
        get_metric(name).value()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("top-1", "did you mean 'top1'?"), ("agrement", "'agreement'?"), ("", "the metrics are top1")],
)
def test_an_unknown_metric_is_refused_with_the_nearest_name(name, expected):
    with pytest.raises(UsageError) as caught:
        get_metric(name)
    assert expected in str(caught.value)


def test_a_function_is_a_metric():
    metric = get_metric(distance)
    assert metric.update(OUTPUTS, LABELS).tolist() == [0, 0, 2]
    assert metric.value() == pytest.approx(2 / 3)
    assert (metric.name, metric.higher_is_better, metric.needs) == ("distance", True, "labels")


def test_a_function_is_found_by_its_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_metric.py").write_text(
        "def error(outputs, labels):\n    return [1.0] * len(labels)\n"
        "error.higher_is_better = False\n"
    )
    metric = get_metric("my_metric:error")
    metric.update(OUTPUTS, LABELS)
    assert (metric.name, metric.higher_is_better) == ("my_metric:error", False)
    assert metric.value() == 1.0
    with pytest.raises(UsageError, match="did you mean 'error'"):
        get_metric("my_metric:eror")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda outputs, labels: 0.5, "one score per sample, [3]; it returned []"),
        (lambda outputs, labels: [1.0, 2.0], "it returned [2]"),
        (lambda outputs, labels: [1.0, np.nan, 0.0], "returned NaN"),
        (lambda outputs, labels: ["good"] * 3, "the metric failed: ValueError"),
        (lambda outputs, labels: outputs["z"], "the metric failed: KeyError"),
    ],
)
def test_a_function_that_gives_no_scores_is_explained(function, expected):
    with pytest.raises(OctavoError) as caught:
        get_metric(function).update(OUTPUTS, LABELS)
    assert expected in str(caught.value)
