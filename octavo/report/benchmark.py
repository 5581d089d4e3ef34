"""The table of `octavo benchmark`, made from the JSON form that `--json` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from octavo.report.terminal import Row, make_table

_PERCENTILES = ("p50", "p90", "p99", "p999")
_MOST_INSTANCES = 8
"""Of more instances only the slowest and the fastest have a row."""


def benchmark_table(result: Row) -> Table:
    """Return the table of `octavo benchmark`."""
    rows: Sequence[Row] = result["rows"]
    several = len({_conditions(row) for row in rows}) > 1
    instances = several or rows[0]["instances"] > 1
    leading = ["instances"] * instances + ["batch", *_swept(rows)] * several
    table = make_table("model", *leading, "samples/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "")
    for row in rows:
        cells = [_layout(row)] * instances
        cells += [str(row["batch_size"]), *_sizes(row, _swept(rows))] * several
        table.add_row(row["model"], *cells, *_speed(row), _ratios(row))
        if instances and not several:
            for name, one in _shown_instances(row["per_instance"]):
                table.add_row(f"  {name}", f"cores {_list(one['cores'])}", *_speed(one), "")
    empty = [""] * (len(leading) + 5)
    for title, text in _remarks(result, several=several):
        table.add_row(title, *empty, text)
    return table


def _conditions(row: Row) -> tuple[object, ...]:
    return (row["instances"], row["cores_per_instance"], str(row["shapes"]))


def _layout(row: Row) -> str:
    return f"{row['instances']} x {row['cores_per_instance']}"


def _swept(rows: Sequence[Row]) -> list[str]:
    """Return the inputs whose sizes differ between rows by more than the batch."""
    names = rows[0]["shapes"]
    return [name for name in names if len({str(row["shapes"][name][1:]) for row in rows}) > 1]


def _sizes(row: Row, names: Sequence[str]) -> list[str]:
    return ["x".join(map(str, row["shapes"][name])) for name in names]


def _speed(one: Row) -> list[str]:
    """Return the cells of a row, or of one instance of it."""
    found = one["throughput"]
    throughput = found["samples_per_s"] if isinstance(found, dict) else found
    latency = [one["latency_ms"][name] for name in _PERCENTILES]
    return [f"{throughput:.1f}", *("" if ms is None else f"{ms:.3f}" for ms in latency)]


def _ratios(row: Row) -> str:
    noisy = " (noisy)"
    ratios = row.get("ratios", ())
    if not ratios:
        return noisy.strip() if row["role"] == "model" and row["noise"] else ""
    lines = []
    for one in ratios:
        low, high = one["ratio_ci95"]
        over = f" over {one['baseline']}" if len(ratios) > 1 else ""
        lines.append(
            f"{one['ratio']:.2f}x ({low:.2f} to {high:.2f}){over}{noisy * bool(one['noise'])}"
        )
    return "\n".join(lines)


def _shown_instances(instances: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    if len(instances) <= _MOST_INSTANCES:
        yield from ((f"instance {number}", one) for number, one in enumerate(instances, 1))
        return
    by_speed = sorted(instances, key=lambda one: one["throughput"])
    yield "slowest instance", by_speed[0]
    yield "fastest instance", by_speed[-1]


def _remarks(result: Row, *, several: bool) -> Iterator[tuple[str, str]]:
    limit = result.get("p99_limit_ms")
    for one in result.get("best", ()):
        kept = "within" if one["within_limit"] else "over"
        figures = f"{one['samples_per_s']:.1f} samples/s, p99 {one['p99_ms']:.3f} ms"
        limited = "" if limit is None else f", {kept} {limit:g} ms"
        yield "best", f"{one['case']}: {figures}{limited}"
    for failure in result.get("failures", ()):
        yield "failed", f"{failure['case']}: {failure['error']}"
    models = [row for row in result["rows"] if row["role"] == "model"]
    noise = _many_noisy(models) if several else _noise(models[0])
    yield from (("warning", text) for text in noise)


def _noise(row: Row) -> Iterator[str]:
    """What disturbed the one case, with the baseline where there are several."""
    ratios = row["ratios"]
    for one in ratios:
        against = f"against {one['baseline']}: " if len(ratios) > 1 else ""
        yield from (f"{against}{reason}" for reason in one["noise"])
    if not ratios:
        yield from row["noise"]


def _many_noisy(rows: Sequence[Row]) -> Iterator[str]:
    noisy = sum(any(_noise(row)) for row in rows)
    if noisy:
        yield f"{noisy} of {len(rows)} cases were disturbed; --json tells by what"


def _list(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))
