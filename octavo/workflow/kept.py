"""The model that a run keeps: INT8, or the float form that the runtime would run by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from octavo.backends.base import Audit
from octavo.errors import ModelError
from octavo.model import Model
from octavo.plan import Plan
from octavo.workflow.measure import float_forms
from octavo.workflow.search import Outcome
from octavo.workflow.setting import Setting


@dataclass(frozen=True)
class Kept:
    """What goes into the artifact.

    Attributes:
        model: the model.
        audits: what every group executes; empty for a model whose groups all run in FP32.
    """

    model: Model
    audits: Sequence[Audit] = ()

    @property
    def form(self) -> str:
        """What a sentence about a float model says that does not run in FP32."""
        return f", in {self.model.label}" if self.model.label else ""


def kept_model(setting: Setting, outcome: Outcome) -> Kept:
    """Return the model that a search ended with.

    Args:
        setting: the float model.
        outcome: what the search found.
    """
    if outcome.best is not None and outcome.keeps_int8:
        return Kept(outcome.best.model, outcome.best.audits)
    return _default_form(setting)


def _default_form(setting: Setting) -> Kept:
    """Return the float form that the runtime takes when nobody asks, FP32 where that is wrong."""
    backend, model = setting.backend, setting.model
    form = float_forms(backend, model, setting.target)["default"]
    if form is model:
        return Kept(model)
    try:
        found = backend.audit(model, Plan(), form, setting.sample, setting.target)
    except ModelError:
        return Kept(model)
    return Kept(form, [replace(one, reason=None) for one in found])
