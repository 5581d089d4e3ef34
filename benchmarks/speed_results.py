"""The rows that `benchmarks.onnx_speed` writes: what is in them, and the figures to be reached."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from octavo.bench import PairResult
from octavo.bench.schedule import WIDTH

RESULTS = Path(__file__).parent / "results"
PARITY = 0.97
FIGURES = {
    "resnet50": 3.2,
    "vgg16": 3.8,
    "mobilenet_v2": 1.9,
    "ssd_mobilenet_v1": 2.6,
    "bert_base": 3.0,
    "distilbert_base": 2.9,
    "mobilebert": 2.0,
    "mobilenet_v3_large": 1.2,
}
"""Throughput over untouched FP32 that is asked for at 1 thread and batch 1."""


def path(threads: int) -> Path:
    """Return the file that holds the rows of a number of threads."""
    return RESULTS / f"onnx_speed_{threads}t.json"


def entry(result: PairResult) -> dict[str, Any]:
    """Return a measurement, JSON-ready; the candidate is Octavo's model."""
    return {
        "ratio": result.ratio,
        "ci95": list(result.ratio_ci95),
        "ms": {m.label: m.latency.p50 for m in (result.baseline, result.candidate)},
        "noisy": result.noisy,
        "reasons": list(result.noise.reasons),
    }


def narrow(measured: Mapping[str, Any]) -> bool:
    """Return whether an interval is narrow enough to tell; a disturbed machine widens it."""
    low, high = measured["ci95"]
    return bool(high - low < WIDTH * measured["ratio"])


def reaches(measured: Mapping[str, Any], figure: float) -> bool:
    """Return whether the 95 % interval reaches a figure; one that is not narrow never does."""
    return narrow(measured) and bool(measured["ci95"][1] >= figure)


def figure(network: str, threads: int, over_fp32: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figure asked for and whether it is met, nothing where none is."""
    wanted = FIGURES.get(network) if threads == 1 else None
    return {} if wanted is None else {"figure": wanted, "met": reaches(over_fp32, wanted)}


def store(output: Path, row: Mapping[str, Any]) -> None:
    """Put a row into a file, in place of the one of the same network and approach.

    Rows that were measured on another machine, or with other versions, are dropped: a table holds
    what can be compared.
    """
    machine = describe_machine()
    content = json.loads(output.read_text()) if output.is_file() else {"rows": []}
    if content["rows"] and content["machine"] != machine:
        print(f"{output}: dropped rows of another machine or versions", file=sys.stderr)
        content["rows"] = []
    rows = [old for old in content["rows"] if _identity(old) != _identity(row)]
    output.parent.mkdir(parents=True, exist_ok=True)
    new = {"machine": machine, "rows": [*rows, row]}
    partial = output.with_suffix(".partial")
    partial.write_text(json.dumps(new, indent=1) + "\n")
    partial.replace(output)


def _identity(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["network"], row["approach"]


def summary(row: Mapping[str, Any]) -> str:
    """Return a row as lines to be read on the way."""
    lines = []
    for key, measured in row.items():
        if key.startswith("over_"):
            lines.append(f"  {key.replace('_', ' ', 1)}: {_told(measured)}")
    share = row["int8_share"]
    lines.append(f"  INT8 share of linear multiply-adds {share['share']:.1%}")
    lines.append(f"  SQNR dB {row['sqnr_db']}")
    if "figure" in row:
        missed = "missed" if narrow(row["over_fp32"]) else "undecided, the interval is too wide"
        lines.append(f"  figure {row['figure']}: {'met' if row['met'] else missed}")
    return "\n".join(lines)


def _told(measured: Mapping[str, Any]) -> str:
    if "failed" in measured:
        return f"failed: {measured['failed']}"
    (other, theirs), (_, ours) = measured["ms"].items()
    low, high = measured["ci95"]
    mark = " (noisy)" if measured["noisy"] else ""
    return (
        f"{measured['ratio']:.3f} ({low:.3f} to {high:.3f}), {other} {theirs:.2f} ms, "
        f"ours {ours:.2f} ms{mark}"
    )
