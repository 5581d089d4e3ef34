"""How far a model has to be evaluated, and what may be said of it then.

Where samples have scores, a plan is looked at in a random order of the samples, the same for every
plan, until it is shown to hold or to lose too much. Only the plan that is kept is evaluated on all
samples, with the proof on those by which no plan was chosen; see `octavo.search.prove.walk`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from octavo.arrays import IntArray
from octavo.backends.base import Session
from octavo.search.prove import Conclusion, CorpusTrial, Margin, Trial, Walk
from octavo.tolerance import Tolerance
from octavo.workflow.evaluate import MetricEvaluator
from octavo.workflow.evaluation import Evaluation
from octavo.workflow.reporter import Advance
from octavo.workflow.scoring import Scoring
from octavo.workflow.verdict import Accuracy, judge

FEWEST = 64
"""Samples below which nothing is gained by looking at some of them first."""

GROWTH = 2
"""Each look at a plan takes one sample more for so many that were seen."""

Look: TypeAlias = Callable[[Session, IntArray, Advance], None]


@dataclass(frozen=True)
class Exam:
    """One model under evaluation.

    Attributes:
        scoring: the scores so far.
        trial: what decides on the part of the data that plans are searched on.
    """

    scoring: Scoring
    trial: Trial | CorpusTrial


class Examiner:
    """Judges models one after the other on one set of evaluation data."""

    def __init__(
        self, evaluator: MetricEvaluator, fp32: Evaluation, tolerance: Tolerance, seed: int
    ) -> None:
        """Divide the data into those to search on and those to prove on.

        Args:
            evaluator: gives models their scores.
            fp32: of the float model, by `evaluator`.
            tolerance: the accepted loss.
            seed: of the order of samples.
        """
        same = fp32.scores is not None and fp32.metric == "agreement"
        margin = Margin(tolerance, fp32.higher_is_better, fp32.bounds, (1.0, 1.0) if same else None)
        self._evaluator = evaluator
        self._fp32 = fp32
        self._tolerance = tolerance
        self._walk = Walk(evaluator.samples, margin, seed=seed, first_counts=True)

    @property
    def proves(self) -> bool:
        """Whether the part to prove on is still unseen."""
        return self._walk.proof is None

    def begin(self) -> Exam:
        """Begin to judge a further model."""
        by_scores = self._fp32.scores is not None
        trial = self._walk.trial() if by_scores else self._walk.corpus_trial()
        return Exam(self._evaluator.scoring(), trial)

    def search(self, exam: Exam, session: Session, advance: Advance) -> Accuracy:
        """Look at samples of the search part until they decide, and return what they show."""
        trial = exam.trial
        while trial.decision == "continue":
            self._look(exam, trial, session, advance)
        return replace(self.accuracy(exam), reached=trial.decision == "accept")

    def _look(
        self, exam: Exam, trial: Trial | CorpusTrial, session: Session, advance: Advance
    ) -> None:
        if isinstance(trial, CorpusTrial):
            exam.scoring.add(session, trial.next_look(), advance)
            trial.look(lambda indices: self._values(exam, indices))
            return
        step = max(exam.scoring.batch_size, trial.samples_seen // GROWTH)
        self._take(exam, trial, trial.next(step), session, advance)

    def _take(
        self,
        exam: Exam,
        trial: Trial,
        indices: IntArray,
        session: Session,
        advance: Advance,
    ) -> None:
        exam.scoring.add(session, indices, advance)
        assert self._fp32.scores is not None
        trial.add(self._fp32.scores[indices], exam.scoring.of(indices))

    def _values(self, exam: Exam, indices: IntArray) -> tuple[float, float]:
        assert self._fp32.value_of is not None
        return self._fp32.value_of(indices), exam.scoring.value_of(indices)

    def conclude(self, exam: Exam, session: Session, advance: Advance) -> Accuracy:
        """Prove the model that was chosen and evaluate it on all samples that are left."""
        trial = exam.trial
        if isinstance(trial, CorpusTrial):
            proof = self._walk.prove(trial)
            for part in (trial, proof):
                while part.left:
                    self._look(exam, part, session, advance)
            return self._concluded(exam, proof)
        shown = self._walk.prove(trial)
        for one in (trial, shown):
            self._take(exam, one, one.next(one.left), session, advance)
        return self._concluded(exam, shown)

    def _concluded(self, exam: Exam, proof: Trial | CorpusTrial) -> Accuracy:
        by_scores = isinstance(proof, Trial)
        found: Conclusion = self._walk.conclusion(
            None if by_scores else lambda indices: self._values(exam, indices)
        )
        shown = {
            "alpha": found.alpha,
            "basis": found.basis,
            "samples": found.proof_samples,
            "at": found.proof_at,
        }
        return replace(
            self.accuracy(exam),
            verdict=found.verdict,
            reached=found.verdict != "exceeded",
            proof=shown,
        )

    def complete(self, exam: Exam, session: Session, advance: Advance) -> Accuracy:
        """Evaluate a model on all samples that are left, without a proof."""
        left = np.setdiff1d(np.arange(self._evaluator.samples), exam.scoring.seen)
        if len(left):
            exam.scoring.add(session, left, advance)
        return self.accuracy(exam)

    def accuracy(self, exam: Exam) -> Accuracy:
        """Return what the samples so far show, both models judged on these alone."""
        int8 = exam.scoring.evaluation()
        seen = exam.scoring.seen
        scores, value_of = self._fp32.scores, self._fp32.value_of
        value = float(scores[seen].mean()) if scores is not None else self._fp32.value
        if value_of is not None:
            value = value_of(seen)
        part = None if scores is None else scores[seen]
        fp32 = replace(self._fp32, value=value, scores=part, samples=len(seen))
        return judge(fp32, int8, self._tolerance, slack=self._tolerance.of(value))


def make_examiner(
    evaluator: object, fp32: Evaluation, tolerance: Tolerance, seed: int
) -> Examiner | None:
    """Return what judges models by some samples first, None where only all of them tell.

    That is so where a function of the user's gives one score for all, where outputs belong to no
    sample, and where there are few samples.
    """
    if not isinstance(evaluator, MetricEvaluator) or not evaluator.by_sample:
        return None
    if evaluator.samples < FEWEST:
        return None
    return Examiner(evaluator, fp32, tolerance, seed)
