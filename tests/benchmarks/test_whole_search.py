"""The benchmark at full size counts the samples of each step."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.onnx_models import SCENES
from benchmarks.whole_search import Pictures, Steps, counting
from octavo.backends.base import Observer
from octavo.backends.registry import get_backend
from octavo.measure import Statistics
from octavo.model import TensorSpec
from octavo.target import Target

IMAGE = TensorSpec("image", "float32", ("batch", 3, 64, 64))


def test_samples_are_counted_by_the_step_in_which_they_run() -> None:
    backend, steps = get_backend("onnxruntime"), Steps()
    model = backend.load(SCENES)
    batch = {"image": np.zeros((3, 3, 64, 64), np.float32)}
    seen: Observer = Statistics(["logits"])
    with counting(type(backend), steps):
        session = backend.open(model, Target())
        with steps.track("evaluating", 6):
            session.run(batch)
            session.run(batch)
        with steps.track("calibrating", None):
            backend.observe(model, [batch], seen, Target())
        session.run(batch)
    samples = {title: row["samples"] for title, row in steps.found.items()}
    assert samples == {"evaluating": 6, "calibrating": 3, "between the steps": 3}


def test_nothing_is_counted_afterwards() -> None:
    backend, steps = get_backend("onnxruntime"), Steps()
    with counting(type(backend), steps), pytest.raises(RuntimeError):
        raise RuntimeError
    session = backend.open(backend.load(SCENES), Target())
    session.run({"image": np.zeros((1, 3, 64, 64), np.float32)})
    assert steps.found == {}


def test_pictures_are_the_same_whenever_they_are_read_and_no_two_equal() -> None:
    data = Pictures((IMAGE,), size=5, seed=7)
    first, again = (np.concatenate([b.inputs["image"] for b in data.batches(2)]) for _ in range(2))
    assert np.array_equal(first, again) and first.shape == (5, 3, 64, 64)
    assert len(set(data.keys())) == 5
    later = Pictures((IMAGE,), size=5, seed=12)
    assert not set(data.keys()) & set(later.keys())
