"""Models are judged on as few samples as it takes, and the winner on all."""

import numpy as np
import pytest

from octavo.data import open_dataset
from octavo.model import TensorSpec
from octavo.tolerance import Tolerance
from octavo.workflow.evaluate import MetricEvaluator, UserEvaluator
from octavo.workflow.exam import make_examiner

INPUTS = (TensorSpec("x", "float32", ("N", 4)),)
SAMPLES = 2000
ONE_PERCENT = Tolerance(0.01, relative=True)


class Flips:
    """Classes by the largest value; of a share of the samples, by their content, the smallest."""

    def __init__(self, share):
        self.share = share
        self.samples = 0

    def run(self, batch):
        values = batch["x"]
        self.samples += len(values)
        lottery = np.abs(values.sum(1) * 1e4) % 1.0
        return {"logits": np.where(lottery[:, None] < self.share, -values, values)}


def ignore(done):
    pass


@pytest.fixture(scope="module")
def data():
    """Labelled samples sorted by class, of which FP32 has nine in ten right."""
    random = np.random.default_rng(0)
    values = random.standard_normal((SAMPLES, 4)).astype(np.float32)
    labels = values.argmax(1)
    wrong = random.random(SAMPLES) < 0.1
    labels[wrong] = (labels[wrong] + 1) % 4
    order = np.argsort(labels, kind="stable")
    return open_dataset([(values[order], labels[order])], INPUTS, role="evaluation")


def examiner_of(data, metric="top1", seed=0):
    fp32 = Flips(0.0)
    evaluator = MetricEvaluator(metric, data, 32, fp32)
    result = evaluator(fp32, ignore)
    return make_examiner(evaluator, result, ONE_PERCENT, seed), evaluator


@pytest.mark.parametrize("metric", ["top1", "agreement"])
def test_a_bad_plan_costs_a_few_samples(data, metric):
    examiner, _ = examiner_of(data, metric)
    model = Flips(0.2)
    accuracy = examiner.search(examiner.begin(), model, ignore)
    assert not accuracy.reached
    assert accuracy.verdict == "exceeded"
    assert accuracy.samples == model.samples < 200


@pytest.mark.parametrize("metric", ["top1", "agreement", "f1_macro"])
def test_an_equal_plan_is_proven_and_evaluated_on_all_samples(data, metric):
    examiner, evaluator = examiner_of(data, metric)
    model = Flips(0.0)
    exam = examiner.begin()
    assert examiner.search(exam, model, ignore).reached
    searched = model.samples
    assert searched <= SAMPLES // 2
    accuracy = examiner.conclude(exam, model, ignore)
    assert model.samples == SAMPLES  # none twice
    assert (accuracy.verdict, accuracy.reached, accuracy.samples) == ("proven", True, SAMPLES)
    assert accuracy.int8 == accuracy.fp32 == evaluator(Flips(0.0), ignore).value
    assert accuracy.proof["samples"] == SAMPLES // 2
    assert not examiner.proves


def test_figures_in_the_end_are_those_of_a_plain_evaluation(data):
    examiner, evaluator = examiner_of(data)
    exam = examiner.begin()
    examiner.search(exam, Flips(0.003), ignore)
    accuracy = examiner.conclude(exam, Flips(0.003), ignore)
    assert accuracy.int8 == pytest.approx(evaluator(Flips(0.003), ignore).value, abs=1e-12)


def test_a_rejected_plan_can_be_completed_without_a_proof(data):
    examiner, evaluator = examiner_of(data)
    exam = examiner.begin()
    examiner.search(exam, Flips(0.1), ignore)
    accuracy = examiner.complete(exam, Flips(0.1), ignore)
    assert accuracy.samples == SAMPLES
    assert accuracy.int8 == pytest.approx(evaluator(Flips(0.1), ignore).value, abs=1e-12)
    assert accuracy.verdict == "exceeded"
    assert examiner.proves


def test_a_loss_beyond_the_tolerance_is_never_proven_however_lucky_the_search(data):
    """A true loss of about two tolerances, in twenty orders of the samples."""
    verdicts = []
    for seed in range(20):
        examiner, _ = examiner_of(data, seed=seed)
        exam = examiner.begin()
        examiner.search(exam, Flips(0.025), ignore)
        verdicts.append(examiner.conclude(exam, Flips(0.025), ignore).verdict)
    assert set(verdicts) == {"exceeded"}


def test_few_samples_and_scores_of_users_are_judged_at_once():
    few = np.eye(4, dtype=np.float32)
    small = open_dataset([(few, few.argmax(1))], INPUTS, role="evaluation")
    assert examiner_of(small)[0] is None
    user = UserEvaluator(lambda predict: 1.0, "f", True, lambda session: session)
    assert make_examiner(user, user(Flips(0.0), ignore), ONE_PERCENT, 0) is None


def test_outputs_that_belong_to_no_sample_are_judged_at_once(data):
    class Whole(Flips):
        def run(self, batch):
            return {"total": batch["x"].sum(0)}

    fp32 = Whole(0.0)
    evaluator = MetricEvaluator("agreement", data, 32, fp32)
    assert make_examiner(evaluator, evaluator(fp32, ignore), ONE_PERCENT, 0) is None
