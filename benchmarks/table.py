"""Write the results of the benchmarks into README.md and docs: python -m benchmarks.table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
ACCURACY = ROOT / "docs" / "accuracy.md"
DEVELOPMENT = ROOT / "docs" / "development.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
COLUMNS = {
    "over_fp32": "over FP32",
    "over_stock": "over ONNX Runtime's quantizer",
    "over_neural_compressor": "over Neural Compressor 2.6",
    "over_onnx_neural_compressor": "over onnx-neural-compressor",
    "over_openvino": "over OpenVINO + NNCF",
}
"""Measurements by their key, and what the table calls them; one that no row has is left out."""

OPENVINO_COLUMNS = {
    "over_fp32": "over FP32",
    "over_default": "over OpenVINO's default",
    "over_openvino": "over NNCF",
    "over_onnxruntime": "over INT8 in ONNX Runtime",
    "same_artifact_over_onnxruntime": "the artifact of ONNX Runtime, over the same there",
}

PEERS_NOTE = (
    "Each quantizer enters with the fastest of its settings, which the committed JSON names; its "
    "models run in the same ONNX Runtime as ours, NNCF's in OpenVINO (latency hint, f32 where they "
    "are not INT8)."
)


def ratio(entry: dict[str, Any] | None) -> str:
    """Return a ratio with its interval, marked where the machine was noisy."""
    if entry is None:
        return "-"
    if "failed" in entry:
        return "failed"
    low, high = entry["ci95"]
    mark = " *" if entry["noisy"] else ""
    return f"{entry['ratio']:.2f} ({low:.2f} to {high:.2f}){mark}"


def line(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def shown(rows: list[dict[str, Any]], columns: Mapping[str, str] = COLUMNS) -> list[str]:
    """Return the keys of the columns that there is something to show in."""
    return [key for key in columns if any(key in row for row in rows)]


def speed_table(rows: list[dict[str, Any]], columns: Mapping[str, str] = COLUMNS) -> list[str]:
    """Return rows of measurements, median milliseconds and ratios."""
    keys = shown(rows, columns)
    head = ("model", "ranges", "FP32 ms", "INT8 ms", *(columns[key] for key in keys))
    lines = [line(*head), "|---" * len(head) + "|"]
    for row in rows:
        times = (f"{ms:.2f}" for ms in row["over_fp32"]["ms"].values())
        ratios = (ratio(row.get(key)) for key in keys)
        lines.append(line(row["network"], row["approach"], *times, *ratios))
    return lines


def describe(content: dict[str, Any], threads: int, package: str = "onnxruntime") -> str:
    """Return where and how the rows were measured."""
    machine = content["machine"]
    counted = "1 thread" if threads == 1 else f"{threads} threads"
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['instructions'])}; "
        f"{package} {machine['versions'][package]}; batch 1, {counted}, the two models "
        "measured in turns; 95 % intervals."
    )


def section(content: dict[str, Any], threads: int) -> list[str]:
    """Return the text and the table for a number of threads."""
    rows = content["rows"]
    lines = [describe(content, threads), "", *speed_table(rows), *noise_note(rows, COLUMNS)]
    if set(shown(rows)) - {"over_fp32", "over_stock"}:
        lines += ["", PEERS_NOTE]
    return lines


def openvino_section(content: dict[str, Any]) -> list[str]:
    """Return the text and the table of what runs in OpenVINO."""
    rows = content["rows"]
    return [
        f"In OpenVINO (`--runtime openvino`): {describe(content, 1, 'openvino')}",
        "",
        *speed_table(rows, OPENVINO_COLUMNS),
        *noise_note(rows, OPENVINO_COLUMNS),
    ]


def noise_note(rows: list[dict[str, Any]], columns: Mapping[str, str]) -> list[str]:
    """Return what the mark of a disturbed measurement means, where there is one."""
    entries = [row[key] for row in rows for key in columns if key in row]
    noisy = any(entry.get("noisy") for entry in entries)
    return ["", "\\* measured while the machine was noisy."] if noisy else []


def render(folder: Path = RESULTS) -> str:
    """Return the text between the markers: a table for each number of threads, and OpenVINO's."""
    parts = []
    for threads in (1, 2):
        file = folder / f"onnx_speed_{threads}t.json"
        if file.is_file():
            parts.append("\n".join(section(json.loads(file.read_text()), threads)))
    if (file := folder / "openvino.json").is_file():
        parts.append("\n".join(openvino_section(json.loads(file.read_text()))))
    return "\n\n".join(parts)


def recovery_table(networks: list[dict[str, Any]], tool: str) -> list[str]:
    """Return the accuracy that each setting of a tool loses, in percent of FP32's."""
    lost = [{row["setting"]: row for row in one["rows"] if row["tool"] == tool} for one in networks]
    settings = list(dict.fromkeys(setting for rows in lost for setting in rows))
    head = ("network", "a weight scale per", "FP32 top1 %", *settings)
    lines = [line(*head), "|---" * len(head) + "|"]
    for one, rows in zip(networks, lost, strict=True):
        cells = (loss(rows.get(setting)) for setting in settings)
        top1 = f"{100 * one['fp32_top1']:.2f}"
        lines.append(line(one["network"], one["weight_scales_per"], top1, *cells))
    return lines


def loss(row: dict[str, Any] | None) -> str:
    """Return the loss of a row and its standard error."""
    if row is None:
        return "-"
    if "error" in row:
        return "failed"
    return f"{row['lost_percent']:.2f} ± {row['standard_error']:.2f}"


def render_recovery(folder: Path = RESULTS) -> str:
    """Return the tables of recovered accuracy and what they hold."""
    content = json.loads((folder / "recovery.json").read_text())
    machine, samples = content["machine"], content["samples"]
    about = (
        f"{machine['cpu']}, {', '.join(machine['instructions'])}; onnxruntime "
        f"{machine['versions']['onnxruntime']}; calibrated on {samples['calibration']} scenes, "
        f"judged on {samples['evaluation']:,}, ± one standard error."
    )
    parts = [about]
    for tool, title in (("octavo", "Octavo in ONNX Runtime"), ("nncf", "NNCF in OpenVINO")):
        parts += [f"{title}:", "\n".join(recovery_table(content["networks"], tool))]
    return "\n\n".join(parts)


def search_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return what each tool's search of each network took, and what it found."""
    head = ("network", "lost naively %", "tool", "evaluations", "seconds", "change %", "over FP32",
            "`solve` over it", "kept")  # fmt: skip
    return [line(*head), "|---" * len(head) + "|", *(search_line(row) for row in rows)]


def search_line(row: dict[str, Any]) -> str:
    """Return one search."""
    naive = f"{row['naive_loss_percent']['per_channel']:.2f}"
    tool = row["tool"] if row["runtime"] == "onnxruntime" else f"{row['tool']} in OpenVINO"
    if "error" in row:
        return line(row["network"], naive, tool, "failed", *["-"] * 5)
    found = (f"{row['evaluations']:.2f}", f"{row['seconds']:.0f}", f"{row['change_percent']:+.2f}")
    ratios = (ratio(row.get(key)) for key in ("over_fp32", "solve_over_it"))
    kept = "float" if row["saved"] == "fp32" else f"INT8, {row['verdict']}"
    return line(row["network"], naive, tool, *found, *ratios, kept)


def render_search(folder: Path = RESULTS) -> str:
    """Return the table of searches and where they ran."""
    content = json.loads((folder / "search.json").read_text())
    machine, samples = content["machine"], content["samples"]
    versions = machine["versions"]
    about = (
        f"{machine['cpu']}, {', '.join(machine['instructions'])}; onnxruntime "
        f"{versions['onnxruntime']}; calibrated on {samples['calibration']} scenes, judged on "
        f"{samples['evaluation']:,}, tolerance {100 * content['tolerance']:g} % of FP32; batch 1, "
        "1 thread, 95 % intervals."
    )
    rows = content["rows"]
    notes = noise_note(rows, {"over_fp32": "", "solve_over_it": ""})
    wrong = [row for row in rows if "error" in row]
    failed = [f"{row['tool']} on {row['network']}: {row['error']}" for row in wrong]
    notes += ["", f"Failed: {'; '.join(failed)}."] if failed else []
    return "\n".join([about, "", *search_table(rows), *notes])


def insert(text: str, table: str) -> str:
    """Return `text` with `table` between the markers."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Rewrite README.md, docs/accuracy.md and docs/development.md."""
    README.write_text(insert(README.read_text(), render()))
    ACCURACY.write_text(insert(ACCURACY.read_text(), render_recovery()))
    if (RESULTS / "search.json").is_file():
        DEVELOPMENT.write_text(insert(DEVELOPMENT.read_text(), render_search()))


if __name__ == "__main__":
    main()
