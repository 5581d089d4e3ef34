import weakref

import numpy as np
import pytest

from octavo.data import open_dataset
from octavo.errors import DataError
from octavo.model import TensorSpec
from octavo.workflow import reference
from octavo.workflow.evaluate import MetricEvaluator, UserEvaluator

INPUTS = (TensorSpec("x", "float32", ("N", 4)),)


class Scale:
    """A session whose output is its input times a factor; it counts its runs."""

    def __init__(self, factor):
        self.factor = factor
        self.runs = 0

    def run(self, batch):
        self.runs += 1
        return {"logits": batch["x"] * self.factor}


@pytest.fixture
def labelled():
    values = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    return open_dataset([(values, values.argmax(1))], INPUTS, role="evaluation")


def advance(done):
    pass


def test_labels_are_compared_batch_by_batch(labelled):
    session = Scale(-1.0)
    evaluation = MetricEvaluator("top1", labelled, 4, session)(session, advance)
    assert (evaluation.value, evaluation.samples, session.runs) == (0.0, 10, 3)
    assert evaluation.scores.tolist() == [0.0] * 10


def test_a_metric_without_scores_per_sample_gives_its_value_only(labelled):
    session = Scale(1.0)
    evaluation = MetricEvaluator("f1_macro", labelled, 4, session)(session, advance)
    assert (evaluation.value, evaluation.scores, evaluation.samples) == (1.0, None, 10)


def test_outputs_of_fp32_are_computed_once(labelled):
    fp32, int8 = Scale(1.0), Scale(-1.0)
    evaluator = MetricEvaluator("agreement", labelled, 4, fp32)
    assert evaluator(fp32, advance).value == 1.0
    assert evaluator(int8, advance).value == 0.0
    assert evaluator(int8, advance).value == 0.0
    assert (fp32.runs, int8.runs) == (3, 6)


class Shift(Scale):
    """Adds to the first class."""

    def run(self, batch):
        return {"logits": batch["x"] + np.array([self.factor, 0, 0, 0], np.float32)}


class Sorted(Scale):
    """Returns its input from large to small, as TopK does."""

    def run(self, batch):
        return {"values": -np.sort(-batch["x"], axis=1) + np.float32(self.factor), **batch}


def test_sorted_values_are_compared_as_values(labelled):
    fp32 = Sorted(0.0)
    evaluator = MetricEvaluator("agreement", labelled, 4, fp32)
    evaluator(fp32, advance)
    assert (evaluator.ranked, evaluator.single_class) == (("values",), ())
    found = evaluator(Sorted(1.0), advance).outputs
    assert found["x"] == 1.0
    assert 0.0 < found["values"] < 0.999


def test_values_are_looked_at_where_fp32_gives_one_class_only(labelled):
    fp32, int8 = Shift(100.0), Shift(5.0)
    evaluator = MetricEvaluator("agreement", labelled, 4, fp32)
    assert evaluator(fp32, advance).value == 1.0
    assert evaluator.single_class == ("logits",)
    found = evaluator(int8, advance)
    first = next(labelled.batches(10)).inputs["x"].astype(float)
    large, small = (first + np.array([factor, 0, 0, 0]) for factor in (100, 5))
    cosine = (large * small).sum(1) / np.linalg.norm(large, axis=1) / np.linalg.norm(small, axis=1)
    same = large.argmax(1) == small.argmax(1)
    np.testing.assert_allclose(found.scores, cosine * same, rtol=1e-5)
    assert found.value < 0.999


def test_several_classes_are_compared_as_classes(labelled):
    fp32 = Scale(1.0)
    evaluator = MetricEvaluator("agreement", labelled, 4, fp32)
    evaluator(fp32, advance)
    assert evaluator.single_class == ()
    assert evaluator(Scale(3.0), advance).scores.tolist() == [1.0] * 10


def test_outputs_of_fp32_that_do_not_fit_memory_are_computed_again(labelled, monkeypatch):
    """Two batches of 4 samples x 4 floats are 128 bytes; the third is not remembered."""
    monkeypatch.setattr(reference, "REMEMBERED_BYTES", 128)
    fp32, int8 = Scale(1.0), Scale(-1.0)
    evaluator = MetricEvaluator("agreement", labelled, 4, fp32)
    evaluator(fp32, advance)
    assert evaluator(int8, advance).value == 0.0
    assert fp32.runs == 4


@pytest.mark.parametrize("metric", ["agreement", "top1"])
def test_the_session_of_fp32_is_let_go_when_its_outputs_are_known(labelled, metric):
    fp32 = Scale(1.0)
    evaluator = MetricEvaluator(metric, labelled, 4, fp32)
    evaluator(fp32, advance)
    alive = weakref.ref(fp32)
    del fp32
    assert alive() is None
    assert evaluator(Scale(1.0), advance).value == 1.0


def test_progress_adds_up_to_the_samples(labelled):
    done = []
    session = Scale(1.0)
    MetricEvaluator("top1", labelled, 4, session)(session, done.append)
    assert done == [4, 4, 2]


def test_a_function_of_the_user_gives_the_score():
    evaluator = UserEvaluator(lambda predict: predict * 2, "f", False, lambda session: 21)
    evaluation = evaluator(Scale(1.0), advance)
    assert (evaluation.value, evaluation.metric, evaluation.higher_is_better) == (42.0, "f", False)
    assert evaluation.scores is None


@pytest.mark.parametrize("score", [None, "good", [1, 2]])
def test_a_function_that_returns_no_number_is_refused(score):
    evaluator = UserEvaluator(lambda predict: score, "f", True, lambda session: session)
    with pytest.raises(DataError, match="must return one number"):
        evaluator(Scale(1.0), advance)
