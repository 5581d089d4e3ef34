"""The benchmark draws models that lose what it says, and counts what they took."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.proving import MARGIN, Case, measure


@pytest.mark.parametrize("drop", [0.0, 0.5, 1.0])
def test_models_lose_and_disagree_as_said(drop: float) -> None:
    fp32, int8 = Case(400_000, 0.76, 0.02, drop).draw(np.random.default_rng(0))
    assert fp32.mean() == pytest.approx(0.76, abs=0.003)
    assert (fp32 != int8).mean() == pytest.approx(0.02, abs=0.001)
    margin = MARGIN.of(fp32, int8).mean()
    assert margin == pytest.approx((1 - drop) * 0.0076, abs=0.0009)


def test_a_loss_beyond_the_disagreement_gains_nothing() -> None:
    fp32, int8 = Case(400_000, 0.76, 0.01, 3.0).draw(np.random.default_rng(0))
    assert ((int8 == 1) & (fp32 == 0)).sum() == 0
    assert (fp32 - int8).mean() == pytest.approx(0.0228, abs=0.001)


def test_a_bad_plan_is_rejected_in_every_run() -> None:
    row = measure(Case(2000, 0.76, 0.01, 5.0), runs=10)
    assert row["ends"]["rejected"] == 1.0
    assert row["proof"] is None
    assert row["search"]["q90"] < 1000


def test_equal_models_are_proven_in_every_run() -> None:
    row = measure(Case(6000, 0.9, 0.0, 0.0), runs=5)
    assert (row["ends"]["proven"], row["proven_counting_first"]) == (1.0, 1.0)
    assert 300 < row["proof"]["median"] < 1000
