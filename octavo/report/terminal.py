"""Tables for the terminal, made from the same JSON forms that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from octavo.digits import DIGITS, tell_apart

Row = Mapping[str, Any]
SQNR = "SQNR dB"


def console(*, stderr: bool = False) -> Console:
    """Return a console; where it is no terminal, lines are as long as they need to be."""
    found = Console(stderr=stderr)
    width = None if found.is_terminal else 1000
    return Console(stderr=stderr, highlight=False, markup=False, width=width)


def quantize_table(result: Row) -> Table:
    """Return the table of `octavo quantize`."""
    table = make_table("", "FP32", "INT8", "")
    accuracy, throughput = result["accuracy"], result["throughput"]
    table.add_row(*_accuracy_row(accuracy, result))
    if "lost" in accuracy:
        table.add_row("", "", "", _changed(accuracy))
    if outputs := accuracy.get("outputs"):
        weakest = min(outputs, key=lambda name: outputs[name])
        if outputs[weakest] < accuracy["int8"] - 1e-6:
            table.add_row("", "", number(outputs[weakest]), f"output {weakest!r} agrees least")
    if throughput:
        for row in _throughput_rows(throughput):
            table.add_row(*row)
        threads = throughput["cores_per_instance"]
        plural = "s" if threads > 1 else ""
        conditions = f"{threads} thread{plural}, batch {throughput['batch_size']}"
        table.add_row("instance", "", "", conditions)
    groups = result["groups"]
    table.add_row("groups in INT8", "", f"{groups['int8']} of {groups['total']}", "")
    table.add_row("evaluations", "", f"{result['evaluations']:.3g}", "")
    cost = f"{result['seconds']:.0f} s, {result['peak_memory_mb']:.0f} MB"
    table.add_row("spent", "", cost, "")
    for reason in throughput["noise"] if throughput else ():
        table.add_row("warning", "", "", reason)
    if result["artifact"]:
        table.add_row("saved", "", result["saved"].upper(), _short(result["artifact"]))
    return table


def _accuracy_row(accuracy: Row, result: Row) -> tuple[str, str, str, str]:
    samples = accuracy["samples"]
    kind = {"evaluation": "", "calibration": " calibration", "random": " random"}
    sample_text = f" on {samples}{kind[result['evaluated_on']]} samples" if samples else ""
    change = accuracy["change_relative"]
    change_text = "" if change is None else f"{_percent(change)}, "
    words = {
        "proven": "proven within",
        "within": "within",
        "exceeded": "exceeds",
        "undecided": "undecided for",
        None: "",
    }
    verdict = f"{words[accuracy['verdict']]} {result['tolerance']}"
    if accuracy["verdict"] and accuracy["int8"] is None:
        verdict = "no score"
    fp32, int8 = tell_apart((accuracy["fp32"], accuracy["int8"]), number)
    return str(accuracy["metric"]), fp32, int8, f"{change_text}{verdict}{sample_text}"


def _changed(accuracy: Row) -> str:
    """Return how many samples are not right in both models, or wrong in both."""
    samples, lost, gained = (accuracy[key] for key in ("samples", "lost", "gained"))
    if accuracy["metric"] == "agreement":
        return f"of {samples} samples {lost} disagree with FP32"
    return f"of {samples} samples {lost} became wrong and {gained} right"


def _throughput_rows(throughput: Row) -> list[tuple[str, str, str, str]]:
    """Return a row for the default baseline and one for each other."""
    others = throughput.get("baselines", {}).values()
    noise = " (noisy)" if throughput["noise"] else ""
    return [
        (
            "samples/s" if one is throughput else "",
            f"{one['fp32']:.1f}",
            f"{throughput['int8']:.1f}" if one is throughput else "",
            f"{_over(one, alone=not others)}{noise}",
        )
        for one in (throughput, *others)
    ]


def _over(measured: Row, *, alone: bool) -> str:
    low, high = measured["ratio_ci95"]
    over = "" if alone else f" over {measured['baseline']}"
    return f"{measured['ratio']:.2f}x ({low:.2f} to {high:.2f}){over}"


def explain_table(result: Row) -> Table:
    """Return the table of `octavo explain`."""
    if result["basis"] == "plan":
        table = make_table("group", "kind", "planned", "share", "why")
    else:
        table = make_table("group", "kind", "executed", "share", "kernels", "why")
    for row in result["rows"]:
        table.add_row(*_group_cells(row, audited=result["basis"] == "audit"))
    return table


def _group_cells(row: Row, *, audited: bool) -> list[str]:
    share = f"{row['share']:.1%}" if row["macs"] else ""
    why = row["reason"] or ""
    if not audited:
        return [row["id"], row["kind"], row["requested"], share, why]
    kernels = ", ".join(dict.fromkeys(row["kernels"]))
    return [row["id"], row["kind"], row["executed"], share, kernels, why]


def compare_table(result: Row) -> Table:
    """Return the table of `octavo compare`."""
    table = make_table("tensor", f"{SQNR} to {result['baseline']}", "group", "executed", "")
    for row in result["rows"]:
        sqnr = row["sqnr_db"]
        masked = f"{row['left_out']} masked values left out" if row["left_out"] else ""
        table.add_row(
            row["tensor"],
            "" if row["sizes"] else "equal" if sqnr is None else f"{sqnr:.1f}",
            row["group"],
            row["executed"],
            "; ".join(filter(None, ("output" * row["is_output"], row["sizes"], masked))),
        )
    return table


def _percent(change: float) -> str:
    """Return a change with its sign, and none where it rounds to nothing."""
    text = f"{change:+.2%}"
    return "0.00%" if text in ("+0.00%", "-0.00%") else text


def number(value: float | None, digits: int = DIGITS) -> str:
    """Return a metric's value with `digits` digits, after the point unless it is large or small."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if 0.001 <= abs(value) < 1000 else f"{value:.{digits}g}"


def make_table(*columns: str) -> Table:
    """Return an empty table with columns of these names."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify=_justify(columns, index))
    return table


def _justify(columns: Sequence[str], index: int) -> Any:
    numeric = {"FP32", "INT8", "samples/s", "share"}
    name = columns[index]
    return "right" if name in numeric or name.startswith(SQNR) or name.endswith(" ms") else "left"


def _short(path: str) -> str:
    """Return a path as seen from the current folder, where it lies below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
