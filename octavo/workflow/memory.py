"""What earlier runs of the same job found, kept in a study on disk."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from octavo.arrays import FloatArray
from octavo.artifact import STUDY
from octavo.data import digest
from octavo.errors import OctavoError, UsageError
from octavo.job import QuantizeJob
from octavo.plan import Plan
from octavo.search.study import Handle, Record, Study, StudyKey, journal, open_study
from octavo.workflow.inputs import Given, RunData
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting

UNKEYED = (
    "source",
    "output",
    "calibration",
    "evaluation",
    "calibration_samples",
    "evaluation_samples",
    "study",
    "resume",
    "timeout",
    "max_evaluations",
    "seconds",
    "trust",
)
"""Options on which no result depends, or whose content is hashed in their place."""


Finish: TypeAlias = Callable[[Mapping[str, Any]], None]


class Memory:
    """Trials and stages of a study; without one, nothing is remembered."""

    def __init__(self, study: Study | None = None) -> None:
        self._study = study

    def find(self, plan: Plan) -> Record | None:
        """Return the trial in which a plan finished or failed before."""
        return None if self._study is None else self._study.find(plan)

    @contextmanager
    def trial(self, name: str, plan: Plan, seed: int) -> Iterator[Finish]:
        """Begin a trial; what the function that is yielded is given ends it.

        An `OctavoError` inside ends it as failed, and any other exception as lost. Both go on.
        """
        if self._study is None:
            yield lambda measurements: None
            return
        handle: Handle = self._study.start(name, plan, seed=seed)
        try:
            yield handle.finish
        except OctavoError as error:
            handle.fail(str(error))
            raise
        except BaseException:
            handle.lose()
            raise

    def noted(self, stage: str) -> Any | None:
        """Return what an earlier run found in a stage, None where nothing is known."""
        return None if self._study is None else self._study.noted(stage)

    def note(self, stage: str, payload: object) -> None:
        """Keep what a stage found."""
        if self._study is not None:
            self._study.note(stage, payload)


@contextmanager
def open_memory(
    job: QuantizeJob, given: Given, setting: Setting, data: RunData, reporter: Reporter
) -> Iterator[Memory]:
    """Open the study of a job: in its artifact's folder, or where `job.study` says.

    A run that begins no trial leaves no trace.

    Raises:
        UsageError: the study that is to be resumed is of another job, or there is no place for one.
    """
    place = _place(job)
    if place is None:
        if job.resume:
            raise UsageError("there is no study to resume; give an output folder, or study=")
        yield Memory()
        return
    missing = _make(place) if isinstance(place, Path) else []
    before = journal.whole(place / journal.NAME) if isinstance(place, Path) else 0
    used = False
    try:
        with open_study(place, _key(job, given, setting, data), resume=job.resume) as study:
            if job.resume:
                reporter.say(_told(study))
            try:
                yield Memory(study)
            finally:
                used = study.resumed or bool(study.records())
                if not used and before and isinstance(place, Path):
                    os.truncate(place / journal.NAME, before)
    except KeyboardInterrupt:
        if used:
            reporter.say(f"{_place_text(place)} keeps the trials; --resume goes on from there")
        raise
    finally:
        if not used:
            _remove(missing)


def _told(study: Study) -> str:
    if not study.resumed:
        return "there is no study to resume: a new one begins"
    known = len(study.completed())
    return f"resumed: {known} trial{'s' * (known != 1)} of the study need not run again"


def _place(job: QuantizeJob) -> Path | str | None:
    if job.study is not None:
        return job.study if "://" in job.study else Path(job.study).expanduser().resolve()
    return Path(job.output).expanduser().resolve() / STUDY if job.output else None


def _place_text(place: Path | str) -> str:
    return place.name if isinstance(place, Path) else "the database"


def _make(folder: Path) -> list[Path]:
    """Create a folder; return what was missing, the innermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove(folders: list[Path]) -> None:
    """Remove folders that were created for a study, and no other files than its own."""
    if folders:
        shutil.rmtree(folders[0], ignore_errors=True)
    for folder in folders[1:]:
        try:
            folder.rmdir()
        except OSError:
            return


def _key(job: QuantizeJob, given: Given, setting: Setting, data: RunData) -> StudyKey:
    options = {name: value for name, value in job.to_json().items() if name not in UNKEYED}
    functions = {
        name: _function(one)
        for name, one in (("metric", given.metric), ("evaluate", given.evaluate))
        if callable(one)
    }
    return StudyKey.of(
        model=setting.graph.fingerprint,
        data={
            "calibration": digest(data.calibration),
            "evaluation": "" if given.evaluate else digest(data.evaluation),
        },
        configuration=options | functions,
        versions=dict(setting.backend.versions()),
        CPU=setting.target.cpu.model,
    )


def _function(one: Callable[..., object]) -> str:
    """Return what tells a function from others: its name and a hash of its source."""
    name = f"{getattr(one, '__module__', '')}.{getattr(one, '__qualname__', type(one).__name__)}"
    try:
        source = inspect.getsource(one)
    except (OSError, TypeError):
        return name
    return f"{name} {hashlib.sha256(source.encode()).hexdigest()[:12]}"


def known_scores(measurements: Mapping[str, Any]) -> FloatArray | None:
    """Return the scores of a trial by sample, NaN where it was not evaluated; None without."""
    stored = measurements.get("scores")
    return None if stored is None else np.array(stored, np.float64)
