"""One pass over the calibration data: what is looked at, and what is checked."""

from dataclasses import replace

import numpy as np
import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.data.base import LabelledBatch
from octavo.data.checked import CheckedDataset
from octavo.errors import DataError
from octavo.measure import SAMPLED
from octavo.model import TensorSpec
from octavo.plan import U8
from octavo.testing.networks import FREE, convnet
from octavo.workflow.calibrate import calibrate
from octavo.workflow.setting import describe

STEM = "stem_relu.out"  # 16 channels of 48 x 48: more than the values that are looked at


class Held:
    name = "held"

    def __init__(self, images):
        self.images, self.size = images, len(images)

    def chunks(self):
        yield LabelledBatch({"image": self.images}, None)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((6, 3, 48, 48)).astype(np.float32)


@pytest.fixture
def run(images, reporter):
    """Return a function that calibrates the tensors `STEM` and `flat.out` on some images."""
    image = TensorSpec("image", "float32", (FREE, 3, 48, 48))
    backend = ReferenceBackend()
    model = backend.load(replace(convnet(), inputs=(image,)))
    setting = describe(backend, model, 1, {"image": images[:1]})

    def calibrated(given, batch_size=4):
        dataset = CheckedDataset(Held(given), labelled=False)
        return calibrate(setting, dataset, {STEM: U8, "flat.out": U8}, batch_size, reporter)

    return calibrated


def test_extremes_are_of_all_values_and_histograms_of_a_part(run, images):
    found = run(images)

    assert found[STEM].count == 6 * 16 * 48 * 48
    assert 0.4 * 6 * SAMPLED <= found[STEM].histogram.total <= 6 * SAMPLED
    assert found["flat.out"].histogram.total == found["flat.out"].count == 6 * 24


def test_the_largest_value_counts_even_if_it_is_not_looked_at(run, images):
    for row, column in ((0, 0), (13, 29), (47, 47)):
        bright = images.copy()
        bright[2, :, row, column] = 1000
        found = run(bright)
        assert found[STEM].maximum > 50 * run(images)[STEM].maximum


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("place", [(0, 0), (13, 29), (47, 47)])
def test_a_value_that_is_not_finite_is_found_wherever_it_is(run, images, place):
    bright = images.copy()
    bright[5, :, place[0], place[1]] = 3e38
    with pytest.raises(DataError, match=r"operator 'stem' .* makes NaN or infinite values"):
        run(bright)


def test_statistics_are_the_same_however_the_samples_are_batched(run, images):
    one, other = (run(images, size)[STEM] for size in (1, 4))

    assert (one.count, one.histogram.total) == (other.count, other.histogram.total)
    assert one.maximum == pytest.approx(other.maximum, rel=1e-5)
    np.testing.assert_allclose(
        np.cumsum(one.histogram.counts), np.cumsum(other.histogram.counts), atol=20
    )
