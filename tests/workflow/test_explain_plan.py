from dataclasses import replace

from octavo.backends.reference import ReferenceBackend
from octavo.testing.networks import convnet
from octavo.workflow import opened
from octavo.workflow.explain import run_explain


def test_a_model_that_is_quantized_already_is_said_to_be(monkeypatch, reporter):
    class Carrying(ReferenceBackend):
        def graph(self, model, target):
            return replace(super().graph(model, target), quantized="it is quantized already")

    monkeypatch.setattr(opened, "find_backend", lambda source, runtime: Carrying())
    found = run_explain(convnet(), None, False, reporter)
    assert found.basis == "plan"
    assert reporter.warned == ["it is quantized already"]


def test_a_float_model_is_not(reporter):
    run_explain(convnet(), None, False, reporter)
    assert reporter.warned == []
