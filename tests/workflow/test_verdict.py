import math

import numpy as np
import pytest

from octavo.errors import UsageError
from octavo.tolerance import Tolerance
from octavo.workflow.evaluation import Evaluation
from octavo.workflow.verdict import judge

ONE_PERCENT = Tolerance(0.01, relative=True)


def scored(scores, higher=True, bounds=None):
    scores = np.asarray(scores, dtype=np.float64)
    return Evaluation(float(scores.mean()), scores, "score", higher, len(scores), bounds=bounds)


def valued(value, higher=True):
    return Evaluation(value, None, "score", higher, None)


def hits(right, samples):
    return scored([1.0] * right + [0.0] * (samples - right), bounds=(0.0, 1.0))


@pytest.mark.parametrize(
    ("samples", "verdict"), [(10, "undecided"), (90, "undecided"), (120, "within")]
)
def test_equal_models_are_within_where_the_samples_can_tell(samples, verdict):
    accuracy = judge(hits(samples, samples), hits(samples, samples), ONE_PERCENT)
    assert (accuracy.verdict, accuracy.reached) == (verdict, True)


def test_one_sample_of_71_is_more_than_one_percent():
    accuracy = judge(hits(71, 71), hits(70, 71), ONE_PERCENT)
    assert (accuracy.verdict, accuracy.reached) == ("exceeded", False)


def test_one_miss_of_120_is_within_one_percent_and_could_be_chance():
    assert judge(hits(120, 120), hits(119, 120), ONE_PERCENT).verdict == "undecided"


def test_scores_in_other_units_get_no_pseudo_sample():
    """Distances may lie within 1 by chance; 1 more would say nothing about them."""
    near = scored(np.full(20, 0.01), higher=False)
    assert judge(near, near, ONE_PERCENT).verdict == "within"
    far = scored(np.full(20, 40.0))
    assert judge(far, far, ONE_PERCENT).verdict == "within"


def test_the_spread_of_cosines_is_seen_on_few_samples():
    def cosines(scores):
        return scored(scores, bounds=(-1.0, 1.0))

    near = 1 - np.random.default_rng(0).random(30) * 1e-3
    assert judge(cosines(np.ones(30)), cosines(near), ONE_PERCENT).verdict == "within"
    assert judge(cosines(np.ones(9)), cosines(near[:9]), ONE_PERCENT).verdict == "undecided"


def test_random_samples_do_not_hide_a_loss():
    assert judge(hits(10, 10), hits(5, 10), ONE_PERCENT, real=False).verdict == "exceeded"


def test_many_samples_decide():
    assert judge(hits(10000, 10000), hits(9990, 10000), ONE_PERCENT).verdict == "within"
    assert judge(hits(10000, 10000), hits(9700, 10000), ONE_PERCENT).verdict == "exceeded"


def test_a_clear_loss_is_seen_on_few_samples():
    assert judge(hits(70, 71), hits(20, 71), ONE_PERCENT).verdict == "exceeded"


def test_a_clear_gain_is_seen_on_few_samples():
    assert judge(hits(40, 100), hits(80, 100), ONE_PERCENT).verdict == "within"


@pytest.mark.parametrize(
    ("int8", "higher", "reached"),
    [(0.99, True, True), (0.98, True, False), (1.01, False, True), (1.02, False, False)],
)
def test_the_direction_of_the_metric_counts(int8, higher, reached):
    accuracy = judge(valued(1.0, higher), valued(int8, higher), ONE_PERCENT)
    assert accuracy.reached is reached
    assert accuracy.verdict == ("within" if reached else "exceeded")


def test_scores_where_less_is_better_are_paired_too():
    fp32 = scored(np.full(1000, 2.0), higher=False)
    assert judge(fp32, scored(np.full(1000, 2.01), False), ONE_PERCENT).verdict == "within"
    assert judge(fp32, scored(np.full(1000, 2.03), False), ONE_PERCENT).verdict == "exceeded"


def test_an_absolute_tolerance_is_in_the_units_of_the_metric():
    half = Tolerance(0.5, relative=False)
    assert judge(valued(0.0), valued(-0.4), half).reached
    assert not judge(valued(0.0), valued(-0.6), half).reached


def test_a_share_of_nothing_is_refused():
    with pytest.raises(UsageError, match="absolute"):
        judge(valued(0.0), valued(0.0), ONE_PERCENT)


def test_nan_is_out_of_tolerance_and_null_in_json():
    accuracy = judge(valued(1.0), valued(math.nan), ONE_PERCENT)
    assert (accuracy.verdict, accuracy.reached) == ("exceeded", False)
    assert accuracy.to_json()["int8"] is None
    assert accuracy.to_json()["change_relative"] is None


def test_random_samples_decide_nothing():
    accuracy = judge(hits(1000, 1000), hits(1000, 1000), ONE_PERCENT, real=False)
    assert (accuracy.verdict, accuracy.reached) == ("undecided", True)


def test_one_sample_decides_nothing():
    assert judge(hits(1, 1), hits(1, 1), ONE_PERCENT).verdict == "undecided"


def test_the_relative_change_has_a_sign():
    json = judge(valued(0.8), valued(0.76), ONE_PERCENT).to_json()
    assert json["change_relative"] == pytest.approx(-0.05)


def test_samples_that_became_wrong_or_right_are_counted():
    fp32, int8 = scored([1, 1, 1, 0, 0]), scored([1, 0, 0, 1, 0])
    json = judge(fp32, int8, ONE_PERCENT).to_json()
    assert (json["lost"], json["gained"]) == (2, 1)


@pytest.mark.parametrize(
    ("fp32", "int8"),
    [
        (scored([1.0, 1.0]), scored([1.0, 0.5])),
        (valued(1.0), valued(1.0)),
        (scored([1.0, 0.0], False), scored([1.0, 0.0], False)),
    ],
    ids=["no hits and misses", "no scores", "errors"],
)
def test_what_is_not_right_or_wrong_is_not_counted(fp32, int8):
    assert "lost" not in judge(fp32, int8, ONE_PERCENT).to_json()
