"""What a run makes of its data: the number of samples, and warnings about their classes."""

import numpy as np
import pytest
from PIL import Image

from octavo.job import QuantizeJob
from octavo.model import TensorSpec
from octavo.workflow.inputs import Given, open_run_data
from octavo.workflow.reporter import LogReporter

SCENES = (TensorSpec("image", "float32", ("N", 3, 64, 64)),)


@pytest.mark.parametrize(
    ("options", "samples"),
    [
        ({"calibration": "digits:301"}, 301),
        ({"calibration": "digits:301", "calibration_samples": 20}, 20),
        ({"calibration": "digits"}, 300),
    ],
)
def test_a_number_in_the_specification_is_more_than_the_default(options, samples):
    job = QuantizeJob(evaluation="digits:4", **options)
    data = open_run_data(job, Given(), SCENES, LogReporter())
    assert data.calibration.size == samples


def test_batches_without_a_number_are_limited_too(vector):
    batches = [np.random.default_rng(0).random((400, 3), dtype=np.float32)]
    data = open_run_data(QuantizeJob(), Given(calibration=batches), vector, LogReporter())
    assert data.calibration.size == 300


@pytest.mark.filterwarnings("always")
def test_a_missing_class_folder_is_warned_of_in_a_run(tmp_path, picture):
    for index, name in enumerate(["cal/a", "cal/b", "eval/b"]):
        (tmp_path / name).mkdir(parents=True)
        Image.effect_noise((8, 8), 20 + 5 * index).save(tmp_path / name / "a.png")
    job = QuantizeJob(calibration=tmp_path / "cal", evaluation=tmp_path / "eval")
    with pytest.warns(UserWarning, match="the evaluation data have no folder 'a'"):
        open_run_data(job, Given(), picture, LogReporter())
