import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx_case import BACKEND, TARGET, images, noise, planned_case, run, words

from octavo.backends.onnxruntime import observe
from octavo.backends.onnxruntime.run import open_session, run_session
from octavo.errors import DataError, ModelError
from octavo.measure import Statistics


class Seen:
    """An observer that keeps everything."""

    def __init__(self, *tensors):
        self.tensors = tensors
        self.parts = {name: [] for name in tensors}

    def update(self, tensor, values):
        self.parts[tensor].append(np.array(values))

    def __getitem__(self, tensor):
        return np.concatenate(self.parts[tensor])


def seen(model, batches, *tensors):
    observer = Seen(*tensors)
    BACKEND.observe(model, batches, observer, TARGET)
    return observer


@pytest.fixture(scope="module")
def case():
    return planned_case(convnet(), images(4, 3, 16))


def test_an_input_is_shown_as_it_is_given(case):
    found = seen(case.model, [case.batch], "image")

    np.testing.assert_array_equal(found["image"], case.batch["image"])


def test_an_output_is_shown_as_a_run_returns_it(case):
    found = seen(case.model, [case.batch], "head_out")

    np.testing.assert_allclose(found["head_out"], case.float_outputs["head_out"], rtol=1e-5)


def test_a_tensor_between_is_shown_as_the_float_model_makes_it():
    b = Builder()
    hidden = b.node("Tanh", ["rows"], "hidden")
    model = BACKEND.load(b.ending(b.gemm(hidden, "head", 16, 4), rows=["batch", 16]))
    batch = {"rows": noise(3, 16)}

    found = seen(model, [batch], "hidden_out")

    np.testing.assert_allclose(found["hidden_out"], np.tanh(batch["rows"]), rtol=1e-5)


def test_every_tensor_between_groups_can_be_observed(case):
    names = {name for group in case.graph.groups for name in (*group.inputs, *group.outputs)}

    found = seen(case.model, [case.batch], *names)

    assert {name: len(parts) for name, parts in found.parts.items()} == dict.fromkeys(names, 1)


def test_every_batch_is_shown_once_and_in_order(case):
    batches = [{"image": case.batch["image"][i : i + 1]} for i in range(4)]

    found = seen(case.model, iter(batches), "image", "pool_out")

    assert len(found.parts["pool_out"]) == 4
    np.testing.assert_array_equal(found["image"], case.batch["image"])


def test_a_tensor_that_is_named_twice_is_shown_once(case):
    found = seen(case.model, [case.batch], "pool_out", "pool_out")

    assert len(found.parts["pool_out"]) == 1


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_batches_are_split_to_keep_within_memory(case, monkeypatch, samples):
    names = ("stem_r_out", "pool_out", "head_out")
    whole = seen(case.model, [case.batch], *names)
    per_sample = sum(whole[name][:1].nbytes for name in names)
    monkeypatch.setattr(observe, "MEMORY", per_sample * samples)

    split = seen(case.model, [case.batch], *names)

    largest = max(len(part) for part in split.parts["stem_r_out"])
    assert largest == samples
    for name in names:
        np.testing.assert_allclose(split[name], whole[name], rtol=1e-5, atol=1e-6)


def test_splitting_does_not_change_the_statistics_of_an_input(case, monkeypatch):
    whole, split = Statistics(["image", "pool_out"]), Statistics(["image", "pool_out"])
    BACKEND.observe(case.model, [case.batch], whole, TARGET)
    monkeypatch.setattr(observe, "MEMORY", 1)
    BACKEND.observe(case.model, [case.batch], split, TARGET)

    assert whole["image"].histogram.counts.tolist() == split["image"].histogram.counts.tolist()
    assert (whole["image"].mean, whole["image"].variance) == (
        split["image"].mean,
        split["image"].variance,
    )


def test_what_was_shown_is_let_go_before_more_is_made(case, monkeypatch):
    made, alive = [], []

    def running(session, names, batch):
        alive.append(sum(each() is not None for each in made))
        values = run_session(session, names, batch)
        made.extend(weakref.ref(array) for array in values)
        return values

    monkeypatch.setattr(observe, "run_session", running)
    monkeypatch.setattr(observe, "MEMORY", 1)
    BACKEND.observe(case.model, [case.batch], Statistics(["stem_r_out", "pool_out"]), TARGET)

    assert alive == [0] * 5  # one of them to see how much memory a sample takes


def peaks_of_observing(*runs):
    """Return the peak memory in MB after each of several passes, in a process of its own."""
    script = Path(__file__).with_name("observe_in_process.py")
    arguments = [f"{samples}:{size}" for samples, size in runs]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], check=True, capture_output=True, text=True
    )
    return [float(line) for line in done.stdout.split()]


def test_memory_grows_neither_with_the_samples_nor_with_the_batch():
    few, many, large = peaks_of_observing((16, 8), (160, 8), (160, 80))

    assert many - few < 30  # every sample makes 4 MB
    assert large - few < 30


def test_threads_do_not_spin_between_batches(case, monkeypatch):
    asked = []

    def opening(model, options):
        asked.append(options.get_session_config_entry("session.intra_op.allow_spinning"))
        return open_session(model, options)

    monkeypatch.setattr(observe, "open_session", opening)
    seen(case.model, [case.batch], "pool_out")

    assert asked == ["0"]


def test_a_fixed_batch_is_not_split(monkeypatch):
    monkeypatch.setattr(observe, "MEMORY", 1)
    model = BACKEND.load(convnet(batch=4))

    found = seen(model, [images(4, 3, 16)], "pool_out")

    assert found["pool_out"].shape == (4, 16, 8, 8)


def test_a_model_that_runs_on_whole_batches_only_is_not_split(monkeypatch):
    monkeypatch.setattr(observe, "MEMORY", 1)
    b = Builder()
    x = b.reshape(b.node("Tanh", ["rows"], "tanh"), "pairs", 2, -1)
    model = BACKEND.load(b.ending(x, rows=["batch", 15]))

    found = seen(model, [{"rows": noise(4, 15)}], "tanh_out", "pairs_out")

    assert found["tanh_out"].shape == (4, 15)


def test_an_input_without_axes_is_given_as_it_is():
    b = Builder()
    x = b.node("Mul", [b.node("Tanh", ["rows"], "tanh"), "factor"], "scaled")
    model = BACKEND.load(b.ending(x, rows=["batch", 16], factor=[]))
    batch = {"rows": noise(3, 16), "factor": np.array(2, np.float32)}

    found = seen(model, [batch], "scaled_out")

    np.testing.assert_allclose(found["scaled_out"], 2 * np.tanh(batch["rows"]), rtol=1e-5)


class TestBuilt:
    def quantized(self, case):
        return [
            name
            for group in case.graph.groups
            for name, scheme in zip(group.outputs, case.plan.format(group.id).outputs, strict=False)
            if scheme is not None
        ]

    def test_a_quantized_tensor_shows_its_dequantized_values(self, case):
        names = self.quantized(case)
        found = seen(case.built, [case.batch], *names)

        assert len(names) >= 10
        for name in names:
            levels = found[name] / np.float32(case.step(name))
            assert len(np.unique(levels)) <= 256
            np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)

    def test_it_is_close_to_what_the_float_model_shows(self, case):
        names = self.quantized(case)
        expected = seen(case.model, [case.batch], *names)
        found = seen(case.built, [case.batch], *names)

        for name in names:
            error = np.mean(np.square(found[name] - expected[name]))
            assert error <= 0.01 * np.mean(np.square(expected[name]))

    def test_observing_does_not_change_what_a_model_computes(self, case):
        found = seen(case.built, [case.batch], *self.quantized(case), "head_out")

        np.testing.assert_array_equal(found["head_out"], run(case.built, case.batch)["head_out"])

    def test_a_transformer(self):
        case = planned_case(transformer(), words())
        names = ["embedding_out", "q_bias_out", "skip1_out", "norm2_out"]

        expected, found = (seen(m, [case.batch], *names) for m in (case.model, case.built))

        for name in names:
            assert np.mean(np.square(found[name] - expected[name])) > 0
            np.testing.assert_allclose(found[name], expected[name], atol=0.3)


class TestErrors:
    def test_an_unknown_tensor_names_the_nearest_one(self, case):
        with pytest.raises(ModelError, match="did you mean 'pool_out'"):
            seen(case.model, [case.batch], "pol_out")

    def test_a_wrong_batch_is_refused(self, case):
        with pytest.raises(DataError, match="dtype float64"):
            seen(case.model, [{"image": np.zeros((1, 3, 16, 16))}], "pool_out")

    def test_a_value_that_the_model_cannot_take_is_an_error_of_the_data(self):
        with pytest.raises(DataError, match="embedding"):
            seen(BACKEND.load(transformer()), [{"ids": np.full((1, 8), 5000)}], "q_out")
