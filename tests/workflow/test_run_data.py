import numpy as np
import pytest

from octavo.errors import DataError, UsageError
from octavo.job import QuantizeJob
from octavo.model import TensorSpec
from octavo.workflow.batches import FullBatchSession, fixed_batch, full_batches, sized
from octavo.workflow.inputs import Given, open_run_data, warn_of_stand_ins
from octavo.workflow.judging import check_metric, choose_metric, format_seconds

INPUTS = (TensorSpec("x", "float32", ("N", 4)),)


def values(count, seed):
    return np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)


def opened(reporter, job=None, **given):
    return open_run_data(job or QuantizeJob(), Given(**given), INPUTS, reporter)


def test_both_given_are_used_without_a_warning(reporter):
    data = opened(reporter, calibration=[values(8, 0)], evaluation=[values(6, 1)])
    assert (data.calibration.size, data.evaluation.size) == (8, 6)
    assert data.evaluated_on == "evaluation"
    assert reporter.warned == []


def test_without_evaluation_data_the_calibration_data_are_used_and_it_is_said(reporter):
    data = opened(reporter, calibration=[values(8, 0)])
    assert data.evaluation is data.calibration
    assert data.evaluated_on == "calibration"
    warn_of_stand_ins(data, Given(), True, reporter)
    assert len(reporter.warned) == 1
    assert "no evaluation data" in reporter.warned[0]


def test_without_calibration_data_random_ones_are_used_and_it_is_said(reporter):
    data = opened(reporter, evaluation=[values(6, 1)])
    assert data.calibration.name == "random data"
    assert data.evaluated_on == "evaluation"
    warn_of_stand_ins(data, Given(), True, reporter)
    assert "NO CALIBRATION DATA" in reporter.warned[0]


def test_plans_without_ranges_need_no_calibration_data(reporter):
    data = opened(reporter, evaluation=[values(6, 1)])
    warn_of_stand_ins(data, Given(), False, reporter)
    assert reporter.warned == []


def test_plans_without_ranges_are_still_judged_on_random_numbers_and_it_is_said(reporter):
    data = opened(reporter)
    warn_of_stand_ins(data, Given(), False, reporter)
    assert "compared on random numbers" in reporter.warned[0]
    assert len(reporter.warned) == 1


def test_random_calibration_and_evaluation_data_differ(reporter):
    data = opened(reporter)
    assert data.evaluated_on == "random"
    assert not set(data.calibration.keys()) & set(data.evaluation.keys())


def test_a_function_of_the_user_needs_no_evaluation_data(reporter):
    given = {"calibration": [values(8, 0)], "evaluate": lambda predict: 1.0}
    warn_of_stand_ins(opened(reporter, **given), Given(**given), True, reporter)
    assert reporter.warned == []


def free(*shape):
    return (TensorSpec("image", "float32", shape),)


def test_random_data_of_a_free_size_are_refused(reporter):
    message = (
        r"input image: float32\[batch, 3, h, w\] has free dimensions h, w; give data, or their "
        r"sizes with --shape image=1x3x224x224"
    )
    with pytest.raises(UsageError, match=message):
        open_run_data(QuantizeJob(), Given(), free("batch", 3, "h", "w"), reporter)


def test_random_data_take_the_shapes_that_are_given(reporter):
    job = QuantizeJob(shapes={"image": (1, 3, 8, 9)})
    data = open_run_data(job, Given(), free("batch", 3, "h", None), reporter)
    assert data.sample(free("batch", 3, "h", None), 2)["image"].shape == (2, 3, 8, 9)
    assert next(data.calibration.batches(4)).inputs["image"].shape == (4, 3, 8, 9)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"imge": (1, 3, 8, 8)}, "did you mean 'image'"),
        ({"image": (1, 4, 8, 8)}, "the shape 1x4x8x8 does not fit input image"),
        ({"image": (1, 3, 8)}, "the shape 1x3x8 does not fit"),
    ],
)
def test_shapes_that_fit_no_input_are_refused(reporter, shapes, message):
    with pytest.raises(UsageError, match=message):
        open_run_data(QuantizeJob(shapes=shapes), Given(), free("batch", 3, "h", "w"), reporter)


def test_shapes_beside_data_are_refused(reporter):
    with pytest.raises(UsageError, match="shapes are for random data"):
        opened(reporter, QuantizeJob(shapes={"x": (1, 4)}), calibration=[values(8, 0)])


def test_random_numbers_take_their_shapes_from_the_evaluation_data(reporter):
    batch = np.zeros((4, 3, 8, 8), np.float32)
    batch[0] = 1
    given = Given(evaluation=[batch])
    data = open_run_data(QuantizeJob(), given, free("batch", 3, "h", "w"), reporter)
    assert next(data.calibration.batches(4)).inputs["image"].shape == (4, 3, 8, 8)


@pytest.mark.parametrize(
    ("given", "job", "message"),
    [
        ({"evaluate": 3}, {}, "evaluate is 3; it must be a function"),
        ({"evaluate": len, "evaluation": [1]}, {}, "leave out evaluation="),
        ({"evaluate": len}, {"evaluation": "digits"}, "leave out evaluation="),
        ({"evaluate": len}, {"metric": "top1"}, "leave out metric="),
        ({"evaluate": len, "metric": len}, {}, "leave out metric="),
    ],
)
def test_what_judges_the_models_is_one_thing(given, job, message):
    with pytest.raises(UsageError, match=message):
        Given(**given).check(QuantizeJob(**job))


def test_samples_in_both_are_refused(reporter):
    both = values(8, 0)
    with pytest.raises(UsageError, match="3 of the evaluation samples"):
        opened(reporter, calibration=[both], evaluation=[both[5:]])


def test_samples_in_both_are_accepted_when_asked_for(reporter):
    both = values(8, 0)
    opened(reporter, QuantizeJob(allow_overlap=True), calibration=[both], evaluation=[both[5:]])
    assert "3 of the evaluation samples" in reporter.warned[0]


def test_a_constant_input_is_warned_of(reporter):
    opened(reporter, calibration=[np.ones((8, 4), np.float32)], evaluation=[values(6, 1)])
    assert "everywhere in the calibration data" in reporter.warned[0]


def test_the_job_limits_the_samples(reporter):
    job = QuantizeJob(calibration_samples=3, evaluation_samples=2)
    data = opened(reporter, job, calibration=[values(8, 0)], evaluation=[values(6, 1)])
    assert (data.calibration.size, data.evaluation.size) == (3, 2)


def test_preprocessing_that_nothing_would_use_is_refused(reporter):
    job = QuantizeJob(preprocessing={"mean": 0.5})
    with pytest.raises(UsageError, match="preprocessing is for image folders"):
        opened(reporter, job, calibration=[values(8, 0)])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(np.arange(6) % 4, "top1"), (values(6, 2), "mse"), (None, "agreement")],
)
def test_the_metric_follows_the_labels(reporter, labels, expected):
    batch = values(6, 1) if labels is None else (values(6, 1), labels)
    data = opened(reporter, calibration=[values(8, 0)], evaluation=[batch])
    assert choose_metric(QuantizeJob(), Given(), data) == expected


def test_a_metric_that_needs_labels_is_refused_without_them(reporter):
    data = opened(reporter, calibration=[values(8, 0)], evaluation=[values(6, 1)])
    with pytest.raises(DataError, match="needs labels"):
        check_metric(QuantizeJob(metric="top1"), Given(), data)


def test_one_forward_takes_samples_again_where_there_are_too_few(reporter):
    data = opened(reporter, calibration=[values(8, 0)], evaluation=[values(2, 1)])
    sample = data.sample(INPUTS, 5)["x"]
    assert np.array_equal(sample, values(2, 1)[[0, 1, 0, 1, 0]])


def test_the_batch_size_that_a_model_declares_is_known():
    assert fixed_batch(INPUTS) is None
    assert fixed_batch((TensorSpec("x", "float32", (8, 4)),)) == 8


def test_the_last_batch_is_filled_up(reporter):
    data = opened(reporter, calibration=[values(5, 0)])
    batches = list(full_batches(data.calibration, 32, 4))
    assert [batch.samples for batch in batches] == [4, 4]
    assert np.array_equal(batches[1].inputs["x"], np.repeat(values(5, 0)[4:], 4, axis=0))


def test_a_session_of_a_fixed_size_returns_the_samples_it_was_given():
    class Fixed:
        def run(self, batch):
            assert batch["x"].shape == (4, 2)
            return {"y": batch["x"] * 2, "scalar": np.float32(1)}

    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    outputs = FullBatchSession(Fixed(), 4).run({"x": x})
    assert np.array_equal(outputs["y"], x * 2)
    assert outputs["scalar"] == 1


def test_arrays_without_a_sample_axis_are_not_repeated():
    assert sized({"a": np.zeros((2, 3)), "b": np.float32(1)}, 4)["b"].ndim == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "1 s"), (61, "61 s"), (180, "3 min"), (7200, "2.0 h")]
)
def test_durations_are_told_as_people_do(seconds, text):
    assert format_seconds(seconds) == text
