from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from octavo.search.prove import Levels, Margin, bootstrap
from octavo.search.prove.looks import Looks, planned_looks, spent
from octavo.tolerance import Tolerance

LEVELS = Levels(0.05, 0.05)
MARGIN = Margin(Tolerance(0.01, relative=True))


def test_the_error_is_spent_as_by_obrien_and_fleming() -> None:
    found = spent((250, 500, 1000), 0.05)
    z = norm.isf(0.025)
    assert found[0] == pytest.approx(2 * norm.sf(2 * z))
    assert found[:2].sum() == pytest.approx(2 * norm.sf(z * 2**0.5))
    assert found.sum() == pytest.approx(0.05)


def test_a_few_samples_are_looked_at_less_often() -> None:
    assert planned_looks(1000) == (250, 500, 1000)
    assert planned_looks(1) == (1,)
    assert planned_looks(0) == ()


def test_looking_several_times_errs_as_rarely_as_stated() -> None:
    """Random walks without drift; looked at three times."""
    rng, runs = np.random.default_rng(0), 4000
    x = rng.normal(0, 1, (runs, 1000))
    wrong = 0
    for row in x:
        looks = Looks(1000, LEVELS)
        for due in looks.planned:
            looks.look(float(row[:due].mean()), 1 / due**0.5, 0.01)
        wrong += looks.side == 1
    assert binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 0.01
    assert wrong / runs > 0.03  # the error is used


def wrong_looks(weight: float, runs: int = 3000) -> int:
    """Count what is shown of hits that lose 1 % in expectation by rare losses, as is tolerated."""
    rng = np.random.default_rng(4)
    u = rng.random((runs, 2000))
    x = np.where(u < 0.0096, -0.99, np.where(u < 0.0116, 1.0, np.where(u < 0.7616, 0.01, 0.0)))
    x -= -0.99 * 0.0096 + 0.002 + 0.01 * 0.75
    wrong = 0
    for row in x:
        looks = Looks(2000, LEVELS)
        for due in looks.planned:
            part = row[:due]
            looks.look(float(part.mean()), float(part.std(ddof=1)) / due**0.5, weight)
        wrong += looks.side == 1
    return wrong


def test_rare_losses_are_passed_as_rarely_as_stated() -> None:
    assert binomtest(wrong_looks(1.0), 3000, 0.05, alternative="greater").pvalue > 0.01


def test_the_plain_standard_error_would_pass_rare_losses_too_often() -> None:
    assert binomtest(wrong_looks(0.0), 3000, 0.05, alternative="greater").pvalue < 0.01


def test_models_that_agree_are_not_proven_equal_by_few_samples() -> None:
    """One percent that no sample showed: 299 samples at the level of 0.05."""
    for samples, side in ((290, 0), (320, 1)):
        looks = Looks(samples, LEVELS)
        for _ in looks.planned:
            looks.look(0.01, 0.0, 1.0)
        assert looks.side == side


def test_what_was_seen_of_a_population_narrows_the_error() -> None:
    """1.2 standard errors are enough where half of all samples were seen."""
    looks = [Looks(10_000, LEVELS, population) for population in (None, 11_000)]
    for one in looks:
        for _ in one.planned[:-1]:
            one.look(0.0, 1.0, 1.0)
    assert [one.look(1.2, 1.0, 1.0) for one in looks] == [0, 1]


def test_a_value_that_is_not_finite_shows_nothing() -> None:
    assert Looks(1000, LEVELS).look(float("nan"), 1.0, 1.0) == 0


def test_the_bootstrap_of_a_mean_has_its_standard_error() -> None:
    rng = np.random.default_rng(3)
    fp32, int8 = rng.random(400), rng.random(400)
    found = bootstrap(
        lambda i: (float(fp32[i].mean()), float(int8[i].mean())), np.arange(400), MARGIN, seed=0
    )
    d = int8 - 0.99 * fp32
    assert found.margin == pytest.approx(d.mean())
    assert found.error == pytest.approx(d.std() / 20, rel=0.1)
    z = abs(d.mean()) / (d.std() / 20)
    assert found.tail == pytest.approx(norm.sf(z), abs=0.04)


def test_a_loss_of_f1_that_is_just_tolerated_is_passed_as_rarely_as_stated() -> None:
    """INT8 turns 0.81 % of FP32's right answers round, which takes 1.00 % of its F1."""
    runs, wrong = 200, 0
    for seed in range(runs):
        u = np.random.default_rng(seed).random((3, 1000))
        labels = u[0] < 0.4
        fp32 = labels ^ (u[1] < 0.1)
        int8 = fp32 ^ ((u[2] < 0.0081) & (fp32 == labels))
        looks = Looks(1000, LEVELS)
        for due in looks.planned:
            found = bootstrap(
                lambda i, a=labels, b=fp32, c=int8: (f1(a[i], b[i]), f1(a[i], c[i])),
                np.arange(due),
                MARGIN,
                seed,
                resamples=200,
            )
            looks.look(found.margin, found.error, found.weight, found.tail)
        wrong += looks.side == 1
    assert binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 0.01


def f1(labels: np.ndarray, found: np.ndarray) -> float:
    return 2.0 * (labels & found).sum() / (labels.sum() + found.sum())


def test_resamples_without_a_value_are_left_out() -> None:
    random = np.random.default_rng(0)

    def values(indices: np.ndarray) -> tuple[float, float]:
        return 1.0, float("nan") if random.random() < 0.2 else 1.0 + indices.mean()

    found = bootstrap(values, np.arange(50), MARGIN, seed=1, resamples=200)
    assert found.error == pytest.approx(np.arange(50).std() / 50**0.5, rel=0.2)


def test_without_any_value_the_error_is_unknown() -> None:
    found = bootstrap(lambda _: (1.0, float("nan")), np.arange(50), MARGIN, seed=1, resamples=20)
    assert found.error == np.inf
