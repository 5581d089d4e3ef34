from dataclasses import replace

import numpy as np
import pytest

import octavo
from octavo.backends.base import Edit
from octavo.backends.reference import ReferenceBackend
from octavo.data import open_dataset
from octavo.errors import DataError, ExitCode, ModelError
from octavo.testing.networks import convnet
from octavo.workflow import quantize
from octavo.workflow.floatform import float_form_defect


class Rewriting(ReferenceBackend):
    """Builds every plan from a model whose first weight is multiplied."""

    def __init__(self, factor):
        self.factor = factor

    def build(self, model, plan, ranges, target):
        weight = self.weights(model, ["stem.weight"])["stem.weight"] * np.float32(self.factor)
        return super().build(self.edit(model, [Edit("stem.weight", weight)]), plan, ranges, target)


class Session:
    def __init__(self, outputs):
        self.outputs = outputs

    def run(self, batch):
        return self.outputs


class Scripted(ReferenceBackend):
    """Gives fixed outputs: of the model, of its rewritten form and of the model as written."""

    def __init__(self, model, form, as_written=None):
        self.outputs = {"model": model, "form": form, "as written": as_written}

    def build(self, model, plan, ranges, target):
        assert not plan.formats
        return replace(model, label="form")

    def open(self, model, target):
        name = model.label or ("model" if model.optimize else "as written")
        return Session(self.outputs[name])


@pytest.fixture
def found(setting, images, reporter):
    data = open_dataset([images], setting.model.inputs, role="calibration")
    return lambda backend: float_form_defect(replace(setting, backend=backend), data, reporter)


ONES = np.ones((1, 4), np.float32)


def test_a_backend_that_keeps_the_model_has_no_defect(found):
    assert found(ReferenceBackend()) is None
    assert found(Rewriting(1 + 1e-5)) is None


def test_another_weight_is_a_defect_and_its_output_is_named(found):
    defect = found(Rewriting(1.5))
    assert "output 'classifier.out' has an SQNR of" in defect
    assert "please report it" in defect


@pytest.mark.parametrize(("error", "wrong"), [(0.02, True), (0.005, False)])
def test_forty_decibels_are_the_bound(found, error, wrong):
    given = {"y": ONES}
    assert bool(found(Scripted(given, {"y": ONES * (1 + error)}, given))) is wrong


def test_the_worst_output_is_named_and_infinity_is_the_worst(found):
    model = {"a": ONES, "b": ONES}
    defect = found(Scripted(model, {"a": -ONES, "b": ONES * np.inf}, model))
    assert "output 'b' is not finite" in defect


@pytest.mark.parametrize(
    ("model", "form"),
    [
        (ONES, np.ones((2, 4), np.float32)),
        (np.arange(4), np.arange(4)[::-1]),
        (ONES * np.nan, ONES),
        (ONES * 0, ONES * 1e-7),
    ],
)
def test_other_shapes_integers_infinities_and_rounding_of_zero_do_not_count(found, model, form):
    assert found(Scripted({"y": model}, {"y": form}, {"y": model})) is None


def test_a_model_that_differs_from_itself_is_not_called_wrong(found):
    """What chooses among equals, or draws at random, also differs where it is run as written."""
    assert found(Scripted({"y": ONES}, {"y": -ONES}, {"y": -ONES})) is None
    assert "SQNR" in found(Scripted({"y": ONES}, {"y": -ONES}, {"y": ONES}))


class Refusing(ReferenceBackend):
    def __init__(self, error):
        self.error = error

    def build(self, model, plan, ranges, target):
        raise self.error


def test_a_form_that_does_not_run_is_a_defect(found):
    assert "does not run (no such operator)" in found(Refusing(ModelError("no such operator")))


def test_a_sample_that_cannot_be_used_is_told_and_does_not_end_the_run(found, reporter):
    assert found(Refusing(DataError("a bad sample"))) is None
    assert "a bad sample" in reporter.warned[0]


def test_a_model_whose_float_form_is_wrong_stays_float_with_the_reason(monkeypatch, images):
    monkeypatch.setattr(quantize, "find_backend", lambda source, runtime: Rewriting(1.5))
    with pytest.warns(octavo.OctavoWarning, match="this is a defect of Octavo"):
        result = octavo.quantize(convnet(), calibration=[images], seconds=0.2)
    assert (result.saved, result.exit_code) == ("fp32", ExitCode.NOT_FASTER)
    assert "output 'classifier.out' has an SQNR of" in result.reason
    assert result.reason.endswith("the float model was kept")
    assert result.manifest.trials == ()
    rows = {row["id"]: row for row in result.groups}
    assert "does not compute the same" in rows["stem"]["reason"]
    assert all(row["executed"] == "fp32" for row in result.groups)


@pytest.mark.filterwarnings("ignore::octavo.OctavoWarning")
def test_groups_tell_why_no_plan_runs(monkeypatch, images):
    class Float(ReferenceBackend):
        def build(self, model, plan, ranges, target):
            if plan.formats:
                raise ModelError("no memory for it")
            return super().build(model, plan, ranges, target)

    monkeypatch.setattr(quantize, "find_backend", lambda source, runtime: Float())
    result = octavo.quantize(convnet(), calibration=[images], seconds=0.2, float="classifier")
    assert result.reason == "no plan runs (no memory for it): the float model was kept"
    reasons = {row["id"]: row["reason"] for row in result.groups}
    assert reasons["stem"] == "no plan runs (no memory for it)"
    assert reasons["classifier"] == "kept in float by the pattern 'classifier'"
