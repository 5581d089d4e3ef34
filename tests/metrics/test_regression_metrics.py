import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from octavo.errors import DataError, NonFiniteError
from octavo.metrics import get_metric

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.standard_normal((50, 4)).astype(np.float32)
LABELS = RANDOM.standard_normal((50, 4))
EXPECTED = {
    "mse": sklearn_metrics.mean_squared_error(LABELS, VALUES),
    "mae": sklearn_metrics.mean_absolute_error(LABELS, VALUES),
}


@pytest.mark.parametrize("name", ["mse", "mae"])
def test_the_error_is_that_of_scikit_learn_in_any_batches(name):
    metric = get_metric(name)
    for part in (slice(0, 1), slice(1, 20), slice(20, 50)):
        metric.update({"y": VALUES[part]}, LABELS[part])
    assert metric.value() == pytest.approx(EXPECTED[name], rel=1e-6)
    assert not metric.higher_is_better


def test_scores_are_the_mean_errors_of_samples():
    outputs = {"y": np.array([[1.0, 2.0], [0.0, 0.0]])}
    labels = np.array([[1.0, 4.0], [3.0, 3.0]])
    assert get_metric("mse").update(outputs, labels).tolist() == [2.0, 9.0]
    assert get_metric("mae").update(outputs, labels).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1)])
@pytest.mark.parametrize("label_shape", [(3,), (3, 1)])
def test_axes_of_one_element_never_spread_over_samples(shape, label_shape):
    outputs = {"y": np.array([1.0, 2.0, 3.0]).reshape(shape)}
    labels = np.array([1, 2, 5]).reshape(label_shape)
    assert get_metric("mae").update(outputs, labels).tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (LABELS[:, 0], "the shape of output 'y', [50, 4]; they are [50]"),
        (LABELS[:49], "they are [49, 4]"),
        (LABELS.T, "they are [4, 50]"),
        (LABELS.astype(str), "labels that are numbers"),
        ({"y": LABELS}, "was given outputs of a model"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, expected):
    with pytest.raises(DataError) as caught:
        get_metric("mse").update({"y": VALUES}, labels)
    assert expected in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_not_finite_is_named(bad):
    with pytest.raises(NonFiniteError, match="'y' holds 1 value"):
        get_metric("mse").update({"y": np.array([[bad]])}, np.array([[1.0]]))
