import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from octavo.errors import DataError, NonFiniteError
from octavo.metrics import get_metric

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.standard_normal((200, 10)).astype(np.float32)
LABELS = RANDOM.integers(0, 10, 200)


def evaluated(name, scores, labels, batches=1):
    metric = get_metric(name)
    for part, own in zip(
        np.array_split(scores, batches), np.array_split(labels, batches), strict=True
    ):
        metric.update({"scores": part}, own)
    return metric.value()


@pytest.mark.parametrize(("name", "k"), [("top1", 1), ("top5", 5)])
def test_top_k_is_that_of_scikit_learn(name, k):
    expected = sklearn_metrics.top_k_accuracy_score(LABELS, SCORES, k=k)
    assert evaluated(name, SCORES, LABELS) == pytest.approx(expected, abs=1e-12)
    assert evaluated(name, SCORES, LABELS, batches=7) == pytest.approx(expected, abs=1e-12)


def test_top_1_scores_are_those_of_argmax():
    scores = get_metric("top1").update({"scores": SCORES}, LABELS)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, SCORES.argmax(1) == LABELS)


@pytest.mark.parametrize(("name", "right"), [("top1", [0]), ("top5", [0, 1, 2, 3, 4])])
def test_a_model_whose_scores_are_all_equal_is_not_right_everywhere(name, right):
    scores = get_metric(name).update({"scores": np.zeros((10, 10))}, np.arange(10))
    assert np.flatnonzero(scores).tolist() == right


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_macro_f1_is_that_of_scikit_learn(pairs):
    predictions, labels = np.array(pairs).T
    expected = sklearn_metrics.f1_score(labels, predictions, average="macro", zero_division=0)
    for name in ("f1", "f1_macro"):
        value = evaluated(name, np.eye(3)[predictions], labels, batches=3)
        assert value == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_f1_of_two_classes_is_the_binary_one(pairs):
    predictions, labels = np.array(pairs).T
    expected = sklearn_metrics.f1_score(labels, predictions, average="binary", zero_division=0)
    assert evaluated("f1", np.eye(2)[predictions], labels) == pytest.approx(expected, abs=1e-12)


def test_macro_f1_of_two_classes_counts_both():
    predictions, labels = np.array([1, 1, 1, 0]), np.array([1, 1, 1, 1])
    assert evaluated("f1", np.eye(2)[predictions], labels) == pytest.approx(6 / 7)
    assert evaluated("f1_macro", np.eye(2)[predictions], labels) == pytest.approx(3 / 7)


def test_f1_gives_no_scores_per_sample():
    metric = get_metric("f1")
    assert not metric.per_sample
    assert metric.update({"scores": SCORES}, LABELS).shape == (0,)


@pytest.mark.parametrize("name", ["top1", "top5", "f1"])
def test_axes_of_one_element_are_dropped(name):
    expected = evaluated(name, SCORES, LABELS)
    assert evaluated(name, SCORES[:, :, None, None], LABELS[:, None].astype(np.uint8)) == expected


def test_the_output_called_logits_is_looked_at():
    outputs = {"hidden": np.zeros((200, 3, 4)), "logits": SCORES}
    assert get_metric("top1").update(outputs, LABELS).mean() == evaluated("top1", SCORES, LABELS)


def test_minus_infinity_hides_a_class():
    scores = np.array([[-np.inf, 0.0]])
    assert get_metric("top1").update({"scores": scores}, np.array([1])).tolist() == [1]


@pytest.mark.parametrize("name", ["top1", "f1"])
@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        (SCORES[:, 0], LABELS, "output 'scores' is [200]"),
        (SCORES[:, :1], LABELS, "one score per class"),
        (SCORES[:, :, None].repeat(2, 2), LABELS, "output 'scores' is [200, 10, 2]"),
        (SCORES, LABELS[:199], "the labels are [199]"),
        (SCORES, np.eye(10, dtype=int)[LABELS], "the labels are [200, 10]"),
        (SCORES, LABELS.astype(np.float32), "class numbers; they are float32"),
        (SCORES, LABELS.astype(str), "class numbers; they are <U"),
        (SCORES, LABELS + 1, "label 10 is no class of this model, which has classes 0 to 9"),
        (SCORES, LABELS - 1, "label -1 is no class"),
        (SCORES, {"scores": SCORES}, "was given outputs of a model"),
    ],
)
def test_what_cannot_be_classified_is_refused(name, scores, labels, expected):
    with pytest.raises(DataError) as caught:
        get_metric(name).update({"scores": scores}, labels)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_an_output_that_is_no_number_is_named():
    scores = SCORES.copy()
    scores[3, 4] = np.nan
    with pytest.raises(NonFiniteError, match="'scores' holds 1 value"):
        get_metric("top1").update({"scores": scores}, LABELS)


@pytest.mark.parametrize("classes", [2, 5])
def test_top_5_of_few_classes_is_refused(classes):
    with pytest.raises(DataError, match=f"has {classes} classes.*use top1"):
        get_metric("top5").update({"scores": SCORES[:, :classes]}, np.zeros(200, int))


def test_the_number_of_classes_must_not_change():
    metric = get_metric("f1")
    metric.update({"scores": SCORES}, LABELS)
    with pytest.raises(DataError, match="changed to 11"):
        metric.update({"scores": np.zeros((1, 11))}, np.array([0]))
