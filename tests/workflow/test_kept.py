"""A float model that is kept runs in what the runtime takes by default."""

from dataclasses import replace

import pytest

import octavo
from octavo.backends.base import Audit
from octavo.backends.reference import ReferenceBackend
from octavo.errors import ModelError
from octavo.plan import FP32
from octavo.testing.networks import convnet
from octavo.workflow import quantize


class Shorter(ReferenceBackend):
    """Runs float in BF16 by default; what it saves is remembered."""

    def __init__(self, wrong=False):
        self.wrong, self.saved = wrong, []

    def baselines(self, model, target):
        return {"default": replace(model, label="BF16, the default"), "f32": model}

    def audit(self, model, plan, built, batch, target):
        if self.wrong:
            raise ModelError("computes something else")
        groups = self.graph(model, target).groups
        return [Audit(group.id, FP32, "bf16", ("K",), "taken by default") for group in groups]

    def save(self, model, folder):
        self.saved.append(model.label)
        super().save(model, folder)


pytestmark = pytest.mark.filterwarnings("ignore::octavo.OctavoWarning")


@pytest.fixture
def kept(monkeypatch, images, tmp_path):
    """Quantize with everything in float; return the result."""

    def run(backend):
        monkeypatch.setattr(quantize, "find_backend", lambda source, runtime: backend)
        options = {"float": ["*"], "output": tmp_path / "out"}
        result = octavo.quantize(convnet(), calibration=[images], seconds=0.2, **options)
        assert result.saved == "fp32"
        return result

    return run


def test_it_is_saved_in_the_default_precision_and_the_manifest_tells(kept):
    backend = Shorter()
    result = kept(backend)

    assert backend.saved[-1] == "BF16, the default"
    assert result.reason.endswith("the float model was kept, in BF16, the default")
    assert {row["executed"] for row in result.groups} == {"bf16"}
    assert {row["reason"] for row in result.groups if row["kind"] == "conv"} == {
        "kept in float by the pattern '*'"
    }


def test_it_stays_in_fp32_where_the_default_computes_something_else(kept):
    backend = Shorter(wrong=True)
    result = kept(backend)

    assert backend.saved[-1] == ""
    assert result.reason.endswith("the float model was kept")
    assert {row["executed"] for row in result.groups} == {"fp32"}


def test_it_stays_as_it_is_where_the_default_is_fp32(kept):
    result = kept(ReferenceBackend())

    assert result.reason.endswith("the float model was kept")
    assert {row["executed"] for row in result.groups} == {"fp32"}
