"""The table of results shows what was measured, and nothing that was not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.table import PEERS_NOTE, recovery_table, render, render_search, speed_table

MACHINE = {
    "cpu": "Some CPU",
    "cores": 2,
    "instructions": ["avx2"],
    "versions": {"onnxruntime": "9.9"},
}


def measured(ratio: float, noisy: bool = False) -> dict[str, Any]:
    ms = {"fp32": 4.0, "octavo": 2.0}
    return {"ratio": ratio, "ci95": [ratio - 0.1, ratio + 0.1], "ms": ms, "noisy": noisy}


def row(**entries: dict[str, Any]) -> dict[str, Any]:
    return {"network": "net", "approach": "static", "over_fp32": measured(2.0), **entries}


def write(folder: Path, threads: int, rows: list[dict[str, Any]]) -> None:
    content = {"machine": MACHINE, "rows": rows}
    (folder / f"onnx_speed_{threads}t.json").write_text(json.dumps(content))


def test_a_column_that_no_row_has_is_left_out() -> None:
    head, _, line = speed_table([row(over_openvino=measured(0.9))])
    assert head == "| model | ranges | FP32 ms | INT8 ms | over FP32 | over OpenVINO + NNCF |"
    assert line == "| net | static | 4.00 | 2.00 | 2.00 (1.90 to 2.10) | 0.90 (0.80 to 1.00) |"


def test_what_failed_and_what_was_not_measured_is_told() -> None:
    rows = [row(over_stock=measured(1.0)), row(over_stock={"failed": "no kernel"}), row()]
    assert [line.split(" | ")[-1] for line in speed_table(rows)[2:]] == [
        "1.00 (0.90 to 1.10) |",
        "failed |",
        "- |",
    ]


def test_noise_is_marked_and_explained(tmp_path: Path) -> None:
    write(tmp_path, 1, [row(over_stock=measured(1.0, noisy=True))])
    text = render(tmp_path)
    assert "| 1.00 (0.90 to 1.10) * |" in text
    assert text.endswith("\\* measured while the machine was noisy.")


def test_there_is_a_table_for_each_number_of_threads(tmp_path: Path) -> None:
    write(tmp_path, 1, [row()])
    write(tmp_path, 2, [row(over_neural_compressor=measured(1.1))])
    first, _, second = render(tmp_path).partition("\n\nSome CPU")
    assert "batch 1, 1 thread," in first and PEERS_NOTE not in first
    assert "batch 1, 2 threads," in second and second.endswith(PEERS_NOTE)


def test_openvino_has_a_table_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, 1, [row()])
    machine = {**MACHINE, "versions": {"openvino": "2026.9"}}
    there = row(over_default=measured(1.5, noisy=True), over_onnxruntime=measured(1.1))
    (tmp_path / "openvino.json").write_text(json.dumps({"machine": machine, "rows": [there]}))
    text = render(tmp_path).partition("\n\nIn OpenVINO")[2]
    assert "openvino 2026.9; batch 1, 1 thread" in text
    assert "| over FP32 | over OpenVINO's default | over INT8 in ONNX Runtime |" in text
    assert text.endswith("\\* measured while the machine was noisy.")


def test_lost_accuracy_has_a_column_for_each_setting_of_a_tool() -> None:
    def lost(tool: str, setting: str, percent: float) -> dict[str, Any]:
        return {"tool": tool, "setting": setting, "lost_percent": percent, "standard_error": 0.2}

    head = {"weight_scales_per": "channel", "fp32_top1": 0.8}
    networks = [
        {"network": "a", **head, "rows": [lost("octavo", "plain", 5.0), lost("nncf", "fast", 1.0)]},
        {"network": "b", **head, "rows": [{"tool": "nncf", "setting": "fast", "error": "none"}]},
    ]
    assert recovery_table(networks, "octavo")[2:] == [
        "| a | channel | 80.00 | 5.00 ± 0.20 |",
        "| b | channel | 80.00 | - |",
    ]
    assert recovery_table(networks, "nncf")[3] == "| b | channel | 80.00 | failed |"


def test_each_search_has_a_line_with_what_it_took_and_found(tmp_path: Path) -> None:
    head = {"network": "net", "naive_loss_percent": {"per_channel": 5.0}}
    took = {"evaluations": 1.5, "seconds": 70.2, "change_percent": -0.3}
    rows = [
        {**head, **took, "tool": "solve", "runtime": "onnxruntime", "saved": "int8",
         "verdict": "proven", "over_fp32": measured(1.5)},
        {**head, **took, "tool": "nncf", "runtime": "openvino", "saved": "fp32",
         "verdict": "within", "solve_over_it": measured(1.2, noisy=True)},
        {**head, "tool": "tpe", "runtime": "onnxruntime", "error": "none"},
    ]  # fmt: skip
    samples = {"calibration": 30, "evaluation": 2000}
    content = {"machine": MACHINE, "samples": samples, "tolerance": 0.01, "rows": rows}
    (tmp_path / "search.json").write_text(json.dumps(content))
    about, _, _, _, *lines = render_search(tmp_path).splitlines()
    assert "judged on 2,000, tolerance 1 % of FP32" in about
    assert lines == [
        "| net | 5.00 | solve | 1.50 | 70 | -0.30 | 1.50 (1.40 to 1.60) | - | INT8, proven |",
        "| net | 5.00 | nncf in OpenVINO | 1.50 | 70 | -0.30 | - | 1.20 (1.10 to 1.30) * | float |",
        "| net | 5.00 | tpe | failed | - | - | - | - | - |",
        "",
        "\\* measured while the machine was noisy.",
        "",
        "Failed: tpe on net: none.",
    ]
