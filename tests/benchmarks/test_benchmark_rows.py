"""Rows of results are kept, replaced and judged as the benchmark promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import speed_results
from benchmarks.speed_results import figure, reaches, store, summary


def row(network: str, approach: str = "static", **more: Any) -> dict[str, Any]:
    return {"network": network, "approach": approach, **more}


def rows_of(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


def test_a_row_replaces_its_own_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "results" / "rows.json"
    for new in (row("a", speed=1), row("b"), row("a", "dynamic"), row("a", speed=2)):
        store(file, new)
    assert rows_of(file) == [row("b"), row("a", "dynamic"), row("a", speed=2)]


def test_rows_of_another_machine_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    monkeypatch.setattr(speed_results, "describe_machine", lambda: {"cpu": "one"})
    store(file, row("a"))
    monkeypatch.setattr(speed_results, "describe_machine", lambda: {"cpu": "another"})
    store(file, row("b"))
    assert rows_of(file) == [row("b")]
    assert "dropped rows of another machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("low", "high", "met"), [(3.12, 3.2, True), (3.12, 3.19, False), (2.9, 3.3, False)]
)
def test_a_figure_is_met_when_a_narrow_interval_reaches_it(
    low: float, high: float, met: bool
) -> None:
    measured = {"ratio": 3.15, "ci95": [low, high]}
    assert reaches(measured, 3.2) is met
    assert figure("resnet50", 1, measured) == {"figure": 3.2, "met": met}


def test_figures_are_asked_for_at_one_thread_alone() -> None:
    measured = {"ratio": 3.1, "ci95": [3.05, 3.15]}
    assert figure("resnet50", 2, measured) == figure("scenes", 1, measured) == {}


def test_the_summary_tells_of_failures() -> None:
    told = row(
        "a",
        over_stock={"failed": "it crashed"},
        over_fp32={
            "ratio": 2.0,
            "ci95": [1.9, 2.1],
            "ms": {"fp32": 2.0, "octavo": 1.0},
            "noisy": True,
        },
        int8_share={"share": 1.0},
        sqnr_db={},
    )
    assert "over stock: failed: it crashed" in summary(told)
    assert "over fp32: 2.000 (1.900 to 2.100), fp32 2.00 ms, ours 1.00 ms (noisy)" in summary(told)
