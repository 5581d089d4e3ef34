"""Write the results of the benchmarks into README.md: python -m benchmarks.table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def ratio(entry: dict[str, Any]) -> str:
    """Return a ratio with its interval, marked where the machine was noisy."""
    low, high = entry["ci95"]
    mark = " *" if entry["noisy"] else ""
    return f"{entry['ratio']:.2f} ({low:.2f} to {high:.2f}){mark}"


def speed_table(content: dict[str, Any]) -> list[str]:
    """Return the rows of `onnx_speed`, median milliseconds and ratios."""
    lines = [
        "| model | ranges | FP32 ms | INT8 ms | over FP32 | over ONNX Runtime's quantizer |",
        "|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        ms = row["over_fp32"]["ms"]
        lines.append(
            f"| {row['network']} | {row['approach']} | {ms['fp32']:.2f} | {ms['octavo']:.2f} "
            f"| {ratio(row['over_fp32'])} | {ratio(row['over_stock'])} |"
        )
    return lines


def render() -> str:
    """Return the text between the markers."""
    content = json.loads((RESULTS / "onnx_speed_1t.json").read_text())
    machine = content["machine"]
    versions = machine["versions"]
    head = (
        f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['instructions'])}; "
        f"onnxruntime {versions['onnxruntime']}; batch 1, 1 thread, the two models measured in "
        "turns; 95 % intervals."
    )
    lines = [head, "", *speed_table(content)]
    if any(row[key]["noisy"] for row in content["rows"] for key in ("over_fp32", "over_stock")):
        lines += ["", "\\* measured while the machine was noisy."]
    return "\n".join(lines)


def insert(text: str, table: str) -> str:
    """Return `text` with `table` between the markers."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Rewrite README.md."""
    README.write_text(insert(README.read_text(), render()))


if __name__ == "__main__":
    main()
