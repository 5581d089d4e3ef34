"""What is said of the float model before anything is quantized."""

import numpy as np
import pytest

import octavo
from octavo.backends.reference import ReferenceBackend
from octavo.errors import DataError, ModelError
from octavo.testing.networks import convnet
from octavo.workflow import quantize


class Session:
    def __init__(self, run):
        self.run = run


class Running(ReferenceBackend):
    """Runs a function in place of the model."""

    def __init__(self, run):
        self._run = run

    def open(self, model, target):
        return Session(self._run)


@pytest.fixture
def quantized(monkeypatch, images):
    def run(function, **options):
        monkeypatch.setattr(quantize, "find_backend", lambda *_: Running(function))
        return octavo.quantize(convnet(), calibration=[images], seconds=0.2, **options)

    return run


def one_class(batch):
    return {"y": batch["image"].mean((2, 3)) + np.array([100, 0, 0], np.float32)}


def test_one_class_for_all_samples_is_told(monkeypatch, quantized):
    monkeypatch.setattr(quantize, "float_form_defect", lambda *_: "stop here")
    with pytest.warns(octavo.OctavoWarning) as caught:
        quantized(one_class)
    told = [str(one.message) for one in caught]
    assert any("FP32 gives one class for all 20 samples (output 'y')" in text for text in told)


def test_sorted_values_are_not_told_to_be_one_class(monkeypatch, quantized):
    def top_values(batch):
        values = batch["image"].reshape(len(batch["image"]), -1)
        return {"values": -np.sort(-values, axis=1)[:, :10]}

    monkeypatch.setattr(quantize, "float_form_defect", lambda *_: "stop here")
    with pytest.warns(octavo.OctavoWarning) as caught:
        quantized(top_values)
    assert not [one for one in caught if "one class" in str(one.message)]


@pytest.mark.filterwarnings("ignore::octavo.OctavoWarning")
def test_an_output_that_is_no_tensor_is_named(quantized):
    with pytest.raises(ModelError, match="output 's' is a sequence or a map"):
        quantized(lambda batch: {"y": batch["image"], "s": [batch["image"]]})


def only_one(batch):
    if len(batch["image"]) > 1:
        raise DataError("cannot run the batch: no broadcast")
    return {"y": batch["image"]}


def nothing(batch):
    raise DataError("cannot run the batch: index out of range")


@pytest.mark.filterwarnings("ignore::octavo.OctavoWarning")
@pytest.mark.parametrize(("function", "hint"), [(only_one, True), (nothing, False)])
def test_a_float_model_that_fails_is_told_as_such(quantized, function, hint):
    with pytest.raises(DataError, match="the FP32 model itself fails: cannot run") as caught:
        quantized(function)
    assert ("it runs with one sample, and not with 20 at once" in str(caught.value)) is hint
    assert ("--batch-size 1" in str(caught.value)) is hint


@pytest.mark.filterwarnings("ignore::octavo.OctavoWarning")
def test_a_failure_in_a_later_batch_is_told_as_the_float_models(quantized, images):
    def last_fails(batch):
        if np.array_equal(batch["image"][-1], images[-1]):
            raise DataError("cannot run the batch: index out of range")
        return {"y": batch["image"]}

    with pytest.raises(DataError, match="the FP32 model itself fails: cannot run"):
        quantized(last_fails, batch_size=8)
