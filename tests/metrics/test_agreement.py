import numpy as np
import pytest

from octavo.errors import DataError, NonFiniteError
from octavo.metrics import get_metric
from octavo.metrics.agreement import Agreement

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((6, 3, 5)).astype(np.float32)
SCORES = RANDOM.standard_normal((6, 10)).astype(np.float32)


def agreement(outputs, reference):
    return get_metric("agreement").update(outputs, reference)


def test_equal_outputs_agree_exactly():
    outputs = {"scores": SCORES, "images": IMAGES, "ids": np.arange(6), "loss": np.float32(3)}
    metric = get_metric("agreement")
    assert metric.needs == "reference" and metric.higher_is_better
    assert metric.update(outputs, outputs).tolist() == [1.0] * 6
    assert metric.value() == 1.0


def test_class_scores_agree_where_the_class_is_the_same():
    other = SCORES + 0.01
    other[2] = -SCORES[2]
    assert agreement({"y": other}, {"y": SCORES}).tolist() == [1, 1, 0, 1, 1, 1]


def test_outputs_in_which_the_reference_gives_one_class_are_known():
    metric = get_metric("agreement")
    one = np.abs(SCORES)
    one[:, 3] = 9
    masked = np.where(one < 9, -np.inf, one)
    outputs = {"one": one, "all": SCORES, "masked": masked}
    metric.update(outputs, outputs)
    assert metric.single_class == ("one",)
    metric.update(outputs, outputs | {"one": one[:, ::-1]})
    assert metric.single_class == ()


def sorted_rows(samples, size):
    return -np.sort(-RANDOM.standard_normal((samples, size)).astype(np.float32), axis=1)


def test_values_that_are_sorted_in_every_row_are_no_class_scores():
    metric = get_metric("agreement")
    mixed = sorted_rows(6, 10)
    mixed[4, 3:5] = mixed[4, 4:2:-1]
    outputs = {"values": sorted_rows(6, 10), "mixed": mixed, "even": np.ones((6, 10), np.float32)}
    metric.update(outputs, outputs)
    assert metric.ranked == ("values",)
    assert metric.single_class == ("mixed", "even")


@pytest.mark.parametrize(("classes", "samples"), [(2, 500), (3, 9), (4, 3)])
def test_class_scores_that_are_sorted_by_chance_are_still_class_scores(classes, samples):
    """Of two classes the first is always the larger one, where it is the class."""
    outputs = {"y": sorted_rows(samples, classes)}
    metric = get_metric("agreement")
    metric.update(outputs, outputs)
    assert (metric.ranked, metric.single_class) == ((), ("y",))


def test_ranked_values_score_their_cosine_whatever_is_the_largest():
    values = sorted_rows(6, 10)
    other = values[:, ::-1]
    scores = Agreement(ranked=["y"]).update({"y": other}, {"y": values})
    assert scores.tolist() == agreement({"y": other[:, None]}, {"y": values[:, None]}).tolist()
    assert (scores != 0).all()


def test_each_output_has_a_value_and_integers_too():
    reference = {"y": SCORES, "ids": np.arange(24).reshape(6, 4)}
    other = {"y": SCORES, "ids": reference["ids"] * (np.arange(4) < 3)}
    metric = get_metric("agreement")
    for rows in (slice(0, 2), slice(2, 6)):
        first, second = ({k: v[rows] for k, v in x.items()} for x in (other, reference))
        metric.update(first, second)
    assert metric.outputs == {"y": 1.0, "ids": pytest.approx(0.75)}
    assert metric.value() == pytest.approx(0.875)


def test_numeric_class_scores_count_the_cosine_of_the_same_class_and_0_of_another():
    other = SCORES.copy()
    other[0, SCORES[0].argmax()] += 5
    other[1] = -SCORES[1]
    scores = Agreement(numeric=["y"]).update({"y": other}, {"y": SCORES})
    a, b = other[0].astype(float), SCORES[0].astype(float)
    assert scores[0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert scores[1:].tolist() == [0, 1, 1, 1, 1]


def test_other_floats_agree_by_their_cosine():
    noisy = IMAGES + RANDOM.standard_normal(IMAGES.shape).astype(np.float32)
    a, b = noisy.reshape(6, -1).astype(float), IMAGES.reshape(6, -1).astype(float)
    expected = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(agreement({"y": noisy}, {"y": IMAGES}), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 0, 0], [0, 0, 0], 1),
        ([0, 0, 0], [1, 0, 0], 0),
        ([1, 2, 3], [-1, -2, -3], -1),
        ([1e-42, 0, 0], [1e-42, 1e-42, 0], np.sqrt(0.5)),
        ([1e38, 1e38, 0], [1e38, 0, 0], np.sqrt(0.5)),
    ],
)
def test_the_cosine_holds_for_zeros_and_extremes(first, second, expected):
    arrays = (np.array([[first]], np.float32), np.array([[second]], np.float32))
    scores = agreement({"y": arrays[0]}, {"y": arrays[1]})
    assert scores.tolist() == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 1, 1)])
def test_single_values_agree_by_their_relative_change(shape):
    reference = np.array([2.0, 2, 2, 2, 0], np.float32).reshape(shape)
    changed = np.array([2.0, 4, 1.98, -2, 0], np.float32).reshape(shape)
    scores = agreement({"y": changed}, {"y": reference})
    assert scores.tolist() == pytest.approx([1, 0.5, 0.99, -1, 1], abs=1e-6)


def test_integers_agree_by_the_share_of_equal_values():
    first, second = np.array([[1, 2], [3, 4]]), np.array([[1, 9], [3, 4]])
    assert agreement({"y": first[:, :, None]}, {"y": second[:, :, None]}).tolist() == [0.5, 1]


def test_outputs_count_equally():
    outputs = {"a": SCORES, "b": -IMAGES}
    scores = agreement(outputs, {"a": SCORES, "b": IMAGES})
    np.testing.assert_allclose(scores, np.zeros(6), atol=1e-12)


def test_the_value_is_the_mean_over_samples():
    metric = get_metric("agreement")
    metric.update({"y": -SCORES[:1]}, {"y": SCORES[:1]})
    metric.update({"y": SCORES[1:4]}, {"y": SCORES[1:4]})
    assert metric.value() == 0.75


@pytest.mark.parametrize(
    ("outputs", "target", "expected"),
    [
        ({"y": IMAGES[:, :2]}, {"y": IMAGES}, "'y' is [6, 2, 5], and [6, 3, 5] of the FP32 model"),
        ({"y": IMAGES}, {"z": IMAGES}, "outputs ['y'] against ['z']"),
        ({"y": IMAGES}, np.arange(6), "was given labels"),
    ],
)
def test_outputs_that_cannot_be_compared_are_refused(outputs, target, expected):
    with pytest.raises(DataError) as caught:
        agreement(outputs, target)
    assert expected in str(caught.value)


@pytest.mark.parametrize("values", [IMAGES, SCORES])
@pytest.mark.parametrize("side", [0, 1])
def test_an_output_that_is_no_number_is_named(values, side):
    pair = [{"y": values.copy()}, {"y": values.copy()}]
    pair[side]["y"].flat[0] = np.nan
    with pytest.raises(NonFiniteError, match="'y' holds 1 value"):
        agreement(*pair)
