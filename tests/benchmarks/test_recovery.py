"""The networks of the benchmark lose what it says, and accuracy is counted rightly."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import recovery
from benchmarks.recovery import MODELS, Subject, load, logits
from octavo.backends.registry import get_backend
from octavo.data.scenes import scenes
from octavo.target import Target


def test_lost_accuracy_is_a_share_of_that_of_fp32() -> None:
    """FP32 reads 8 of 10 rightly, the other 6 of these and one more."""
    expected, other = np.eye(2)[[0] * 8 + [1] * 2], np.eye(2)[[0] * 6 + [1] * 3 + [0]]
    subject = Subject("a", None, np.empty(10), np.zeros(10, np.int64), expected)  # type: ignore[arg-type]
    found = subject.score(other)
    assert subject.fp32 == 0.8
    assert found["top1"] == 0.7
    assert found["lost_percent"] == pytest.approx(12.5)
    error = np.std([0] * 6 + [1, 1, 0, -1]) / 10**0.5
    assert found["standard_error"] == pytest.approx(100 * error / 0.8, abs=0.01)
    assert found["sqnr_db"] == pytest.approx(10 * np.log10(10 / 6), abs=0.1)


@pytest.mark.parametrize("name", ["depthwise", "transformer"])
def test_committed_networks_read_the_scenes(name: str) -> None:
    images, labels = scenes("evaluation", 200)
    backend = get_backend("onnxruntime")
    made = logits(backend, backend.load(MODELS / f"{name}.onnx"), images, Target())
    assert (made.argmax(1) == labels).mean() > 0.7


def test_unequal_channels_leave_the_function_of_scenes() -> None:
    images, _ = scenes("evaluation", 50)
    backend = get_backend("onnxruntime")
    model, plain = load(backend, "scenes"), backend.load(recovery.SCENES)
    found, expected = (logits(backend, one, images, Target()) for one in (model, plain))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
