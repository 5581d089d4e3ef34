"""The interface of the walk: what is handed out, counted, refused and said."""

from __future__ import annotations

import numpy as np
import pytest

from octavo.arrays import FloatArray, IntArray
from octavo.errors import DataError, UsageError
from octavo.search.prove import CorpusTrial, Margin, Trial, Walk, split
from octavo.tolerance import Tolerance

ONE_PERCENT = Margin(Tolerance(0.01, relative=True), bounds=(0.0, 1.0))
ERRORS = Margin(Tolerance(0.05, relative=True), higher_is_better=False)


def run(trial: Trial, fp32: FloatArray, int8: FloatArray, batch: int = 64) -> Trial:
    while trial.decision == "continue":
        indices = trial.next(batch)
        trial.add(fp32[indices], int8[indices])
    return trial


def finish(trial: Trial, fp32: FloatArray, int8: FloatArray) -> None:
    rest = trial.next(trial.left)
    trial.add(fp32[rest], int8[rest])


def hits(samples: int, lost: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """FP32 right on four of five samples, and INT8 on all of these but `lost`."""
    fp32 = (np.arange(samples) % 5 > 0).astype(np.float64)
    int8 = fp32.copy()
    int8[np.random.default_rng(seed).choice(np.flatnonzero(fp32), lost, replace=False)] = 0.0
    return fp32, int8


def test_every_sample_is_in_one_part() -> None:
    search, proof = split(1001, seed=5)
    assert (len(search), len(proof)) == (500, 501)
    assert sorted([*search, *proof]) == list(range(1001))


def test_the_order_is_random_and_that_of_its_seed() -> None:
    search, _ = split(1000, seed=5)
    assert abs(np.corrcoef(search, np.arange(500))[0, 1]) < 0.2
    assert (search == split(1000, seed=5)[0]).all()
    assert (search != split(1000, seed=6)[0]).any()


def test_a_good_plan_is_accepted_proven_and_told() -> None:
    fp32, int8 = hits(4000, 4)
    walk = Walk(4000, ONE_PERCENT)
    trial = run(walk.trial(), fp32, int8)
    assert (trial.decision, trial.shown) == ("accept", True)
    assert trial.samples_seen < 1000
    proof = run(walk.prove(trial), fp32, int8)
    assert walk.evaluations == (trial.samples_seen + proof.samples_seen) / 4000
    assert walk.evaluations < 0.5
    finish(trial, fp32, int8)
    finish(proof, fp32, int8)
    found = walk.conclusion()
    assert (found.verdict, found.basis, found.alpha) == ("proven", "betting", 0.05)
    assert (found.samples, found.proof_samples) == (4000, 2000)
    assert found.proof_at == proof.shown_at
    assert found.margin == pytest.approx(int8.mean() - 0.99 * fp32.mean())
    assert walk.evaluations == 1.0


def test_a_bad_plan_is_rejected_by_few_samples() -> None:
    fp32, int8 = hits(4000, 200)
    trial = run(Walk(4000, ONE_PERCENT).trial(), fp32, int8)
    assert (trial.decision, trial.shown) == ("reject", True)
    assert trial.samples_seen < 800


def test_equal_models_cannot_be_proven_by_71_samples() -> None:
    fp32 = np.ones(71)
    walk = Walk(71, ONE_PERCENT)
    proof = run(walk.prove(run(walk.trial(), fp32, fp32)), fp32, fp32)
    assert (proof.decision, proof.shown) == ("accept", False)
    assert walk.conclusion().verdict == "undecided"


def test_equal_models_on_some_hundred_samples_are_within() -> None:
    fp32 = np.ones(400)
    walk = Walk(400, ONE_PERCENT)
    run(walk.prove(run(walk.trial(), fp32, fp32)), fp32, fp32)
    assert walk.conclusion().verdict == "within"


def test_a_loss_that_is_measured_too_large_is_exceeded() -> None:
    fp32, int8 = hits(1000, 12)
    walk = Walk(1000, ONE_PERCENT)
    trial = run(walk.trial(), fp32, int8)
    proof = run(walk.prove(trial), fp32, int8)
    finish(trial, fp32, int8)
    finish(proof, fp32, int8)
    found = walk.conclusion()
    assert found.margin == pytest.approx(-0.004)
    assert found.verdict == "exceeded"


def test_a_proof_does_not_outweigh_a_measured_loss() -> None:
    """All losses are in the part that was searched."""
    fp32, int8 = np.ones(1000), np.ones(1000)
    walk = Walk(1000, ONE_PERCENT)
    int8[walk.order("search")[-20:]] = 0.0
    trial = walk.trial()
    trial.add(fp32[walk.order("search")], int8[walk.order("search")])
    proof = run(walk.prove(trial), fp32, int8)
    assert (proof.decision, proof.shown) == ("accept", True)
    assert walk.conclusion().verdict == "exceeded"


def test_batches_do_not_change_decisions() -> None:
    fp32, int8 = hits(3000, 15)
    found = []
    for batch in (1, 50, 3000):
        walk = Walk(3000, ONE_PERCENT)
        trial = run(walk.trial(), fp32, int8, batch)
        found.append((trial.decision, trial.shown_at))
    assert found[0] == found[1] == found[2]


def test_later_plans_are_accepted_at_stricter_levels() -> None:
    fp32, int8 = hits(20_000, 10)
    walk = Walk(20_000, ONE_PERCENT)
    needed = [run(walk.trial(), fp32, int8, 1000).shown_at or 0 for _ in range(4)]
    assert needed == sorted(needed)
    assert 0 < needed[0] < needed[3]


@pytest.mark.parametrize("plan", [0, 1])
def test_what_the_first_plan_showed_counts_for_it_alone(plan: int) -> None:
    """It saves samples; any other plan needs more than without."""
    fp32, int8 = hits(8000, 8)
    needed = {}
    for first_counts in (False, True):
        walk = Walk(8000, ONE_PERCENT, first_counts=first_counts)
        trials = [run(walk.trial(), fp32, int8) for _ in range(2)]
        needed[first_counts] = run(walk.prove(trials[plan]), fp32, int8).shown_at or 0
    assert min(needed.values()) > 0
    assert (needed[True] < 0.7 * needed[False]) if plan == 0 else (needed[True] > needed[False])


def test_evidence_of_a_plan_that_saw_nothing_is_1() -> None:
    assert Walk(100, ONE_PERCENT).trial().evidence(0.05, 100) == 1.0


def test_only_one_plan_is_proven() -> None:
    walk = Walk(100, ONE_PERCENT)
    trial = walk.trial()
    walk.prove(trial)
    with pytest.raises(UsageError, match="one plan is proven"):
        walk.prove(trial)
    with pytest.raises(UsageError, match="being proven"):
        walk.trial()


def test_nothing_is_concluded_without_a_plan() -> None:
    with pytest.raises(UsageError, match="no plan"):
        Walk(100, ONE_PERCENT).conclusion()


def test_more_scores_than_samples_are_refused() -> None:
    with pytest.raises(DataError, match="51 samples, and 50 are left"):
        Walk(100, ONE_PERCENT).trial().add(np.ones(51), np.ones(51))


def test_a_part_to_prove_on_is_needed() -> None:
    with pytest.raises(UsageError, match="part to prove on"):
        Walk(100, ONE_PERCENT, search_share=1.0)


def test_one_sample_decides_nothing() -> None:
    walk = Walk(1, ONE_PERCENT)
    trial = walk.trial()
    assert (trial.decision, trial.left) == ("accept", 0)
    run(walk.prove(trial), np.ones(1), np.ones(1))
    assert walk.conclusion().verdict == "undecided"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "proven"), (1.2, "exceeded")])
def test_scores_without_bounds_are_judged_by_the_normal_law(factor: float, verdict: str) -> None:
    fp32 = np.random.default_rng(0).gamma(4.0, size=6000)
    noise = np.random.default_rng(1).normal(0, 0.01, size=6000)
    walk = Walk(6000, ERRORS)
    trial = run(walk.trial(), fp32, factor * fp32 + noise, 100)
    proof = run(walk.prove(trial), fp32, factor * fp32 + noise, 100)
    assert (walk.conclusion().verdict, walk.conclusion().basis) == (verdict, "normal")
    assert proof.shown_at in (750, 1500, 3000)


class F1:
    """F1 of two models over samples."""

    def __init__(self, labels: IntArray, fp32: IntArray, int8: IntArray) -> None:
        self.labels, self.models = labels, (fp32, int8)

    def __call__(self, indices: IntArray) -> tuple[float, float]:
        labels = self.labels[indices]
        first, second = (
            2.0 * (found[indices] & labels).sum() / (found[indices].sum() + labels.sum())
            for found in self.models
        )
        return float(first), float(second)


def predictions(wrong: float, samples: int = 4000) -> F1:
    """Two classes; FP32 is right on nine of ten, INT8 turns a share of its answers round."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, samples)
    fp32 = np.where(rng.random(samples) < 0.1, 1 - labels, labels)
    return F1(labels, fp32, np.where(rng.random(samples) < wrong, 1 - fp32, fp32))


def run_corpus(trial: CorpusTrial, values: F1) -> CorpusTrial:
    while trial.decision == "continue":
        assert len(trial.next_look())
        trial.look(values)
    return trial


@pytest.mark.parametrize(("wrong", "verdict"), [(0.002, "proven"), (0.1, "exceeded")])
def test_a_metric_of_many_samples_is_judged_by_a_bootstrap(wrong: float, verdict: str) -> None:
    values = predictions(wrong)
    walk = Walk(4000, ONE_PERCENT)
    trial = run_corpus(walk.corpus_trial(), values)
    proof = run_corpus(walk.prove(trial), values)
    found = walk.conclusion(values)
    assert (found.verdict, found.basis) == (verdict, "bootstrap")
    assert proof.shown_at in (500, 1000, 2000)
    assert walk.forwards == trial.samples_seen + proof.samples_seen == found.samples


def test_no_look_is_left_after_the_last() -> None:
    values = predictions(0.0, 100)
    trial = run_corpus(Walk(100, ONE_PERCENT).corpus_trial(), values)
    assert (trial.decision, trial.shown, trial.samples_seen) == ("accept", False, 50)
    with pytest.raises(UsageError, match="looked at"):
        trial.look(values)


def test_the_values_of_a_metric_without_scores_are_asked_for() -> None:
    walk = Walk(100, ONE_PERCENT)
    walk.prove(walk.corpus_trial())
    with pytest.raises(UsageError, match="metric's values"):
        walk.conclusion()
