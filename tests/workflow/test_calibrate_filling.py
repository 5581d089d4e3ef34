"""What fills up a batch of a fixed size does not reach the statistics."""

from __future__ import annotations

import numpy as np

from octavo.measure import Statistics
from octavo.workflow.calibrate import _WithoutFilling


def test_samples_that_fill_up_a_batch_are_left_out() -> None:
    statistics = Statistics(["x"])
    observer = _WithoutFilling(statistics, fixed=4, samples=1)
    observer.update("x", np.array([[1.0], [2.0], [2.0], [2.0]], np.float32))
    assert (statistics["x"].count, statistics["x"].maximum) == (1, 1.0)


def test_a_tensor_without_the_batch_axis_is_taken_whole() -> None:
    statistics = Statistics(["x"])
    observer = _WithoutFilling(statistics, fixed=4, samples=1)
    observer.update("x", np.ones((2, 3), np.float32))
    assert statistics["x"].count == 6
