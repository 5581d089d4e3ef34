"""What every plan of a search is judged by: the data, the tolerance and the target."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from octavo.backends.base import Session
from octavo.bench import ModelRef
from octavo.correct import Corrected
from octavo.data.base import Dataset
from octavo.errors import NonFiniteError, UnequalSizesError
from octavo.job import QuantizeJob
from octavo.model import Model
from octavo.plan import Plan
from octavo.search.study.records import plan_key
from octavo.workflow.correct import correct_model
from octavo.workflow.evaluation import Evaluation, Evaluator
from octavo.workflow.exam import Exam, Examiner
from octavo.workflow.measure import Throughput, measure_surely, save_model
from octavo.workflow.memory import Memory, known_scores
from octavo.workflow.reporter import Advance, Reporter
from octavo.workflow.setting import Setting
from octavo.workflow.trial import Trial
from octavo.workflow.verdict import Accuracy, judge
from octavo.workspace import folder_size

_Found = TypeVar("_Found")


@dataclass
class Spent:
    """What judging has cost.

    Attributes:
        forwards: samples run through INT8 models.
        whole: evaluations by a function of the user's, whose samples nobody counts.
    """

    forwards: int = 0
    whole: int = 0

    def evaluations(self, samples: int | None) -> float:
        """Return the cost as evaluations of all `samples`."""
        return self.whole + (self.forwards / samples if samples else 0.0)


def describe(accuracy: Accuracy) -> str:
    """Return what samples so far tell of a plan."""
    change = accuracy.change_relative
    shown = "" if change is None else f" ({change:+.2%})"
    return (
        f"{accuracy.metric} {accuracy.int8:.4g}, FP32 {accuracy.fp32:.4g}{shown} on "
        f"{accuracy.samples} samples: {'it may hold' if accuracy.reached else 'it loses too much'}"
    )


@dataclass(frozen=True)
class Judge:
    """Everything that plans are judged by.

    Attributes:
        setting: the float model and its target.
        job: tolerance and time.
        fp32: the float model's evaluation.
        evaluator: evaluates a model.
        samples: how many samples an evaluation has, None where that is not known.
        real: whether the samples are data and not random numbers.
        baselines: the saved FP32 models.
        place: a folder for models that are measured.
        reporter: is told the progress.
        calibration: what models are corrected on; None where none is.
        examiner: judges by some of the samples first; None where only all of them tell.
        correction: corrects the model for a plan; None does so anew each time.
        memory: knows what earlier runs of the same job found.
        spent: what it has cost so far.
        started: the monotonic clock when the run began, seconds.
    """

    setting: Setting
    job: QuantizeJob
    fp32: Evaluation
    evaluator: Evaluator
    samples: int | None
    real: bool
    baselines: Mapping[str, ModelRef]
    place: Path
    reporter: Reporter
    calibration: Dataset | None = None
    examiner: Examiner | None = None
    correction: Callable[[Plan], Corrected] | None = None
    memory: Memory = field(default_factory=Memory)
    spent: Spent = field(default_factory=Spent)
    started: float = field(default_factory=time.monotonic)

    def why_stop(self) -> str | None:
        """Return which limit allows no further plan, None where none is reached."""
        most, seconds = self.job.max_evaluations, self.job.timeout
        if most is not None and self.spent.evaluations(self.samples) >= most:
            return f"{self.spent.evaluations(self.samples):.3g} of {most:g} evaluations are spent"
        if seconds is not None and time.monotonic() - self.started >= seconds:
            return f"the time of {seconds:g} s is over"
        return None

    def correct(self, plan: Plan) -> Corrected | None:
        """Return the model that a plan is built from, None where that is the float one."""
        if not plan.recipe.corrections or self.calibration is None:
            return None
        if self.correction is not None:
            return self.correction(plan)
        size = self.job.batch_size
        return correct_model(self.setting, plan, self.calibration, size, self.reporter)

    def examine(
        self, model: Model, name: str, known: Mapping[str, Any] | None = None
    ) -> tuple[Accuracy, Exam | None]:
        """Judge a model on as many samples as it takes to decide.

        Args:
            model: the INT8 model.
            name: of its plan.
            known: what an earlier run recorded of it, see `Trial.record`.

        Returns:
            what the samples show, and what is to be gone on with; None where all were judged.
        """
        examiner, title = self.examiner, f"evaluating {name}"
        if examiner is None or not examiner.proves:
            if known:
                self.spent.forwards += self.samples or 0
                self.spent.whole += self.samples is None
                return Accuracy(**known["judged"]), None
            return self._judged(self.evaluate(model, title)), None
        exam = examiner.begin()
        if known and (scores := known_scores(known)) is not None:
            exam.scoring.remember(scores)

        def look(session: Session, advance: Advance) -> Accuracy:
            return examiner.search(exam, session, advance)

        found = self._run(model, title, exam.trial.left, look)
        if isinstance(found, Evaluation):
            return self._judged(found), None
        self.reporter.say(f"{name}: {describe(found)}")
        return found, exam

    def conclude(self, trial: Trial) -> Trial:
        """Prove the plan that was chosen, and evaluate it on all samples."""
        return self._go_on(trial, proven=True)

    def complete(self, trial: Trial) -> Trial:
        """Evaluate a plan on all samples, without a proof."""
        return self._go_on(trial, proven=False)

    def _go_on(self, trial: Trial, *, proven: bool) -> Trial:
        exam, examiner = trial.exam, self.examiner
        if exam is None or examiner is None or trial.whole:
            return trial

        def look(session: Session, advance: Advance) -> Accuracy:
            act = examiner.conclude if proven else examiner.complete
            return act(exam, session, advance)

        key = hashlib.sha256(plan_key(trial.candidate.plan).encode()).hexdigest()[:16]
        stage = f"all samples {key}"
        if (scores := self.memory.noted(stage)) is not None:
            exam.scoring.remember(np.array(scores, np.float64))
        verb = "proving" if proven else "evaluating all of"
        left = (self.samples or 0) - len(exam.scoring.seen)
        found = self._run(trial.model, f"{verb} {trial.candidate.name}", left, look)
        self.memory.note(stage, exam.scoring.to_json())
        accuracy = self._judged(found) if isinstance(found, Evaluation) else found
        return replace(trial, accuracy=accuracy)

    def _judged(self, int8: Evaluation) -> Accuracy:
        return judge(self.fp32, int8, self.job.tolerance, real=self.real)

    def evaluate(self, model: Model, title: str) -> Evaluation:
        """Evaluate a model built from the float one; outputs that are not finite score NaN."""
        return self._run(model, title, self.samples, self.evaluator)

    def _run(
        self,
        model: Model,
        title: str,
        samples: int | None,
        act: Callable[[Session, Advance], _Found],
    ) -> _Found | Evaluation:
        """Return what `act` does with an open model, or an evaluation of NaN where it cannot."""

        def count(done: int) -> None:
            self.spent.forwards += done
            advance(done)

        try:
            with self.reporter.track(title, samples) as advance:
                session = self.setting.open(model)
                self.spent.whole += self.samples is None  # a function of the user's is called
                return act(session, count)
        except NonFiniteError as error:
            self.reporter.warn(f"{title}: {error}")
            return replace(self.fp32, value=math.nan, scores=None, outputs={})
        except UnequalSizesError as error:
            self.reporter.warn(f"{title}: {error}")
            return replace(self.fp32, value=math.nan, scores=None, unscored=True, outputs={})

    def measured(self, trial: Trial, known: Mapping[str, Any] | None = None) -> Trial:
        """Return a trial with its speed and size, measured before, now, or by an earlier run.

        Args:
            trial: was built and judged.
            known: what an earlier run recorded of it, see `Trial.record`.
        """
        if trial.throughput is not None:
            return trial
        if known and known["throughput"]:
            return trial.measured(Throughput.from_json(known["throughput"]), known["disk"])
        throughput = self.measure(trial)
        saved, float_ = self._folder(trial), self.place / "fp32-default"
        sizes = [folder_size(one) for one in (saved, float_) if one.is_dir()]
        return trial.measured(throughput, sizes[0] / sizes[1] if len(sizes) == 2 else None)

    def _folder(self, trial: Trial) -> Path:
        return self.place / trial.candidate.name.replace(" ", "-").replace("/", "-")

    def measure(self, trial: Trial) -> Throughput:
        """Measure a trial's model in turns with the float model."""
        folder = self._folder(trial)
        label = f"INT8 {trial.candidate.name}"
        saved = save_model(self.setting, trial.model, folder, label, self.job.trust)
        return measure_surely(
            self.baselines, saved, self.setting, self.job.seconds, self.job.seed, self.reporter
        )
