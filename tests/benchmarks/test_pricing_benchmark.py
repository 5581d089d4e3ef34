"""The benchmark of prices counts errors rightly, keeps results, and runs on the demo's network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import pricing
from benchmarks.pricing import Prediction, store, summary
from octavo.search.price.prices import Cost


def test_errors_are_relative_to_what_was_measured() -> None:
    found = [
        Prediction(3, Cost(1.1, 0.04), 1.0),
        Prediction(5, Cost(1.6, 0.3), 2.0),
        Prediction(7, Cost(4.0, 0.0), 4.0),
    ]
    assert [round(one.error, 6) for one in found] == [0.1, -0.2, 0.0]
    assert [one.within for one in found] == [False, True, True]
    assert summary(found) == {
        "plans": 3,
        "largest_error": 0.2,
        "mean_error": 0.1,
        "within_two_standard_errors": 2,
        "met": False,
    }
    assert summary(found[2:])["met"]


def test_results_of_other_networks_and_threads_stay(tmp_path: Path) -> None:
    path = tmp_path / "pricing.json"
    for name, threads, value in (("bert_base", 1, 1), ("resnet50", 1, 2), ("resnet50", 2, 3)):
        store({"network": name, "threads": threads, "value": value}, path)
    store({"network": "resnet50", "threads": 1, "value": 4}, path)
    content = json.loads(path.read_text())
    kept = [(one["network"], one["threads"], one["value"]) for one in content["networks"]]
    assert kept == [("resnet50", 1, 4), ("bert_base", 1, 1), ("resnet50", 2, 3)]
    assert content["machine"]["cpu"]


def test_the_demos_network_is_priced_and_other_plans_are_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavo.search.price.profiles.BLOCK", 0.002)
    path = tmp_path / "pricing.json"
    arguments = ["scenes", "--plans", "3", "--seconds", "20", "--output", str(path)]
    monkeypatch.setattr(sys, "argv", ["pricing", *arguments])
    pricing.main()
    (result,) = json.loads(path.read_text())["networks"]
    assert result["failed"] == []
    assert result["profiled_plans"] > 3
    assert result["plans"] == len(result["rows"]) == 3
    assert result["float_ms"] > 0
    for row in result["rows"]:
        relative = row["predicted_ms"] / row["measured_ms"] - 1
        assert row["relative"] == pytest.approx(relative, abs=1e-3)
        assert row["error_ms"] > 0
