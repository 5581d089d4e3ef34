"""The models of one benchmark: what is measured, and each float form it is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from octavo.backends.base import Backend
from octavo.errors import UsageError
from octavo.target import Target
from octavo.workflow.measure import float_forms
from octavo.workflow.opened import Opened, names_artifact, open_any

PLAIN = "FP32"
"""What a float form without a label of its own runs in."""


@dataclass(frozen=True)
class Sources:
    """What the user names.

    Attributes:
        model: an artifact folder or a model.
        baseline: another form of it, None to measure the model alone.
        runtime: what runs the model; None is what an artifact was measured with, else the first
            that can.
        baseline_runtime: what runs the baseline; None is what an artifact was measured with, else
            what runs the model.
        trust: accept files that can run code of their own.
    """

    model: object
    baseline: object | None = None
    runtime: str | None = None
    baseline_runtime: str | None = None
    trust: bool = False


@dataclass(frozen=True)
class Contestants:
    """The opened models.

    Attributes:
        model: what is measured.
        baseline: what it is measured against, as it was opened.
    """

    model: Opened
    baseline: Opened | None = field(default=None)

    @property
    def made_for(self) -> int:
        """The threads that an artifact among them was made for, else 1."""
        found = (one.artifact.manifest.threads for one in self._opened if one.artifact)
        return next(found, 1)

    @property
    def backends(self) -> list[Backend]:
        """What runs them."""
        return [one.backend for one in self._opened]

    @property
    def _opened(self) -> list[Opened]:
        return [one for one in (self.model, self.baseline) if one is not None]

    @property
    def _notes(self) -> list[str]:
        """The names of both runtimes, where those differ."""
        names = [backend.name for backend in self.backends]
        return names if len(set(names)) > 1 else [""] * len(names)

    def labelled(self, target: Target) -> Opened:
        """Return the model with all that tells it from the others in its label.

        Of a source that is the precision, where its runtime could run it in another one too.
        """
        several = len(float_forms(self.model.backend, self.model.model, target)) > 1
        precision = PLAIN if self.model.artifact is None and several else ""
        return _labelled(self.model, self._notes[0], precision)

    def forms(self, target: Target) -> Mapping[str, Opened]:
        """Return what the model is measured against, `default` first; none where it is alone.

        An artifact is there as it is; of a source these are the forms that `octavo quantize`
        measures against.
        """
        if self.baseline is None:
            return {}
        note = self._notes[-1]
        if self.baseline.artifact is not None:
            return {"default": _labelled(self.baseline, note)}
        forms = float_forms(self.baseline.backend, self.baseline.model, target)
        several = len(forms) > 1
        return {
            name: _labelled(
                replace(self.baseline, model=form), note, (form.label or PLAIN) if several else ""
            )
            for name, form in forms.items()
        }


def open_contestants(sources: Sources) -> Contestants:
    """Open the models.

    Raises:
        UsageError: they have different inputs, or a runtime does not run its model.
        ModelError: one cannot be read.
        ArtifactError: an artifact is damaged.
    """
    model = open_any(sources.model, trust=sources.trust, runtime=sources.runtime)
    if sources.baseline is None:
        return Contestants(model)
    runtime = sources.baseline_runtime
    if runtime is None and not names_artifact(sources.baseline):
        runtime = model.backend.name
    baseline = open_any(sources.baseline, trust=sources.trust, runtime=runtime)
    _check_same_inputs(model, baseline)
    return Contestants(model, baseline)


def _labelled(opened: Opened, *notes: str) -> Opened:
    known = ", ".join(note for note in notes if note)
    return replace(opened, label=f"{opened.label} ({known})") if known else opened


def _check_same_inputs(model: Opened, baseline: Opened) -> None:
    ours = {(spec.name, spec.dtype) for spec in model.model.inputs}
    theirs = {(spec.name, spec.dtype) for spec in baseline.model.inputs}
    if ours != theirs:
        raise UsageError(
            f"{model.label!r} and {baseline.label!r} have different inputs "
            f"({_names(model)} and {_names(baseline)}); compare forms of one model"
        )


def _names(opened: Opened) -> str:
    return ", ".join(map(str, opened.model.inputs))
