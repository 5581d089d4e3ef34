"""The plot of a benchmark: throughput by layout, and how latencies are distributed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavo.errors import ArtifactError, UsageError
from octavo.report.axis import Axis, axis_from_zero, axis_of, tick_text
from octavo.report.runs import (
    Run,
    constant_words,
    differing_words,
    machine_words,
    read_limit,
    read_runs,
)
from octavo.report.svg import FAINT, INK, SIZE, Picture, clean, width_of

_WIDTH = 960.0
_MARGIN = 24.0
_LINE = 20.0
"""From one base line of text to the next."""

_BAR = 14.0
_GAP = 20.0
_VALUE = 90.0
"""The room behind the longest bar for its number."""

_NAMES = 300.0
"""The most room for the names of layouts."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Colours that differ to those who do not see red or green (Okabe and Ito 2008)."""

_DASHES = ("", "7 4", "2 3")
_SHARES = (0.5, 0.9, 0.99, 0.999)
_TOP = 3.4
"""The end of the axis of shares; 3 stands for 99.9 %."""

_CURVE_POINTS = 300


@dataclass(frozen=True)
class _Style:
    colour: str
    dash: str
    hollow: bool


@dataclass(frozen=True)
class _Frame:
    """Where values are drawn, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def wide(self) -> float:
        return self.right - self.left

    @property
    def center(self) -> float:
        return (self.left + self.right) / 2

    def x(self, axis: Axis, value: float) -> float:
        return self.left + axis.position(value) * self.wide

    def y(self, height: float) -> float:
        """Return where a height lies, 0 at the bottom and 1 at the top."""
        return self.bottom - height * (self.bottom - self.top)


def write_plot(result: Mapping[str, Any], path: Path) -> None:
    """Write an SVG file that shows a benchmark.

    Its first part has a bar for each model and layout, with the 95 % interval of the throughput.
    The second has a panel for each layout, with the share of calls that take at most a time; the
    scale of shares gives the slowest tenth, hundredth and thousandth equal room.

    Args:
        result: what `octavo benchmark --json` prints; its `rows` are shown.
        path: the file to write.

    Raises:
        UsageError: `result` has no rows.
        ArtifactError: the file cannot be written.
    """
    content = draw_plot(result)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ArtifactError(
            f"cannot write the plot to {str(path)!r}: {error.strerror}; "
            "give a file in a folder that exists"
        ) from error


def draw_plot(result: Mapping[str, Any]) -> str:
    """Return what `write_plot` writes; arguments as there."""
    runs = read_runs(result.get("rows") or ())
    if not runs:
        raise UsageError("the benchmark has no rows to plot; expected at least one measurement")
    styles = _styles(runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.layout, []).append(run)
    picture = Picture(_WIDTH)
    words = ", ".join(filter(None, (machine_words(result), constant_words(result["rows"]))))
    y = _head(picture, styles, words)
    y = _throughput(picture, y, groups, styles, differing_words(result["rows"]))
    y = _latency(picture, y, groups, styles, read_limit(result))
    names = ", ".join(_series(run) for run in _firsts(runs))
    return picture.written(
        y + _MARGIN,
        "Throughput and latency",
        f"Throughput by layout and distribution of latencies of {names}",
    )


def _series(run: Run) -> str:
    return clean(f"{run.model} (baseline)" if run.baseline else run.model)


def _firsts(runs: Iterable[Run]) -> list[Run]:
    """Return one run of each series, in their order."""
    return list({_series(run): run for run in reversed(list(runs))}.values())[::-1]


def _styles(runs: Sequence[Run]) -> dict[str, _Style]:
    return {
        _series(run): _Style(
            _COLOURS[number % len(_COLOURS)],
            _DASHES[number // len(_COLOURS) % len(_DASHES)],
            run.baseline,
        )
        for number, run in enumerate(_firsts(runs))
    }


def _head(picture: Picture, styles: Mapping[str, _Style], words: str) -> float:
    """Write title, conditions and legend; return where they end."""
    y = _MARGIN + 10
    picture.text(_MARGIN, y, "Throughput and latency", size=18, bold=True)
    if words:
        y += _LINE
        picture.text(_MARGIN, y, words, room=_WIDTH - 2 * _MARGIN)
    x, y = _MARGIN, y + _LINE
    for name, style in styles.items():
        wide = min(width_of(name), _WIDTH - 2 * _MARGIN - 32) + 32
        if x > _MARGIN and x + wide > _WIDTH - _MARGIN:
            x, y = _MARGIN, y + _LINE
        picture.bar(x, y - 10, 22, 11, style.colour, hollow=style.hollow)
        picture.text(x + 28, y, name, room=_WIDTH - 2 * _MARGIN - 32)
        x += wide + 20
    return y


def _throughput(
    picture: Picture,
    y: float,
    groups: Mapping[str, Sequence[Run]],
    styles: Mapping[str, _Style],
    by: str,
) -> float:
    """Draw a bar for each run, those of a layout together; return where they end."""
    y += 2 * _LINE
    picture.text(_MARGIN, y, f"Throughput by {by}" if by else "Throughput", size=15, bold=True)
    names = min(max(map(width_of, groups)), _NAMES) + 12 if by else 0.0
    tall = sum(len(group) * (_BAR + 3) + 10 for group in groups.values()) + 4
    frame = _Frame(_MARGIN + names, y + 8, _WIDTH - _MARGIN - _VALUE, y + 8 + tall)
    axis = axis_from_zero(max(run.highest for group in groups.values() for run in group), 8)
    _vertical_grid(picture, frame, axis)
    y = frame.top + 7
    for layout, group in groups.items():
        middle = y + len(group) * (_BAR + 3) / 2 + SIZE / 3
        if layout:
            picture.text(frame.left - 12, middle, layout, anchor="end", room=_NAMES)
        for run in group:
            _bar(picture, frame, axis, y, run, styles[_series(run)])
            y += _BAR + 3
        y += 10
    picture.line([(frame.left, frame.top), (frame.left, frame.bottom)], INK)
    text = "samples per second, all instances together; with 95 % interval"
    picture.text(frame.center, frame.bottom + 2 * _LINE, text, anchor="middle")
    return frame.bottom + 2 * _LINE


def _bar(picture: Picture, frame: _Frame, axis: Axis, y: float, run: Run, style: _Style) -> None:
    end = frame.x(axis, run.throughput)
    picture.bar(frame.left, y, end - frame.left, _BAR, style.colour, hollow=style.hollow)
    if run.interval:
        low, high = (frame.x(axis, value) for value in run.interval)
        middle = y + _BAR / 2
        picture.line([(low, middle), (high, middle)], INK, 1.5)
        for x in (low, high):
            picture.line([(x, middle - 4), (x, middle + 4)], INK, 1.5)
        end = max(end, high)
    shown = f"{run.throughput:,.0f}" if run.throughput >= 1000 else f"{run.throughput:.4g}"
    noisy = " noisy" if run.noisy else ""
    picture.text(end + 6, y + _BAR - 2, f"{shown}{noisy}", size=12)


def _vertical_grid(picture: Picture, frame: _Frame, axis: Axis) -> None:
    """Draw a line at each tick, and its label where there is room for it."""
    free = 0.0
    for tick in axis.ticks:
        x = frame.x(axis, tick)
        picture.line([(x, frame.top), (x, frame.bottom)], FAINT)
        label = tick_text(tick)
        half = width_of(label, 12) / 2
        if x - half >= free:
            picture.text(x, frame.bottom + 16, label, anchor="middle", size=12)
            free = x + half + 6


def _latency(
    picture: Picture,
    y: float,
    groups: Mapping[str, Sequence[Run]],
    styles: Mapping[str, _Style],
    limit: float | None,
) -> float:
    """Draw a panel for each layout; return where they end."""
    shown = {layout: [run for run in group if run.curve] for layout, group in groups.items()}
    shown = {layout: group for layout, group in shown.items() if group}
    if not shown:
        return y
    y += 2 * _LINE
    picture.text(_MARGIN, y, "Latency", size=15, bold=True)
    if limit is not None:
        picture.text(_MARGIN + 90, y, f"dotted: the limit of {limit:.4g} ms for 99 % of the calls")
    columns = min(len(shown), 2 if len(shown) <= 4 else 3)
    wide = (_WIDTH - 2 * _MARGIN - _GAP * (columns - 1)) / columns
    tall = 300.0 if columns == 1 else 240.0
    for number, (layout, group) in enumerate(shown.items()):
        row, column = divmod(number, columns)
        left, top = _MARGIN + column * (wide + _GAP), y + 10 + row * (tall + _GAP)
        frame = _Frame(left + 76, top + (24 if layout else 6), left + wide - 24, top + tall - 44)
        _panel(picture, frame, layout, group, styles, limit)
    return y + 10 + math.ceil(len(shown) / columns) * (tall + _GAP) - _GAP


def _panel(
    picture: Picture,
    frame: _Frame,
    title: str,
    group: Sequence[Run],
    styles: Mapping[str, _Style],
    limit: float | None,
) -> None:
    shown = [x for run in group for x in run.latencies] + ([] if limit is None else [limit])
    axis = axis_of(shown, 8 if frame.wide > 500 else 4)
    if title:
        picture.text(frame.left, frame.top - 8, title, room=frame.wide)
    _vertical_grid(picture, frame, axis)
    for share in _SHARES:
        y = frame.y(_risen(share))
        picture.line([(frame.left, y), (frame.right, y)], FAINT)
        picture.text(frame.left - 6, y + 4, f"{share * 100:g} %", anchor="end", size=12)
    corner = (frame.left, frame.bottom)
    picture.line([(frame.left, frame.top), corner, (frame.right, frame.bottom)], INK)
    picture.text(frame.left - 62, frame.y(0.5), "calls no slower", anchor="middle", turned=True)
    words = "latency of a call in ms" + (", logarithmic" if axis.logarithmic else "")
    picture.text(frame.center, frame.bottom + 36, words, anchor="middle")
    if limit is not None:
        _limit(picture, frame, axis, limit)
    for run in group:
        _curve(picture, frame, axis, run, styles[_series(run)])


def _limit(picture: Picture, frame: _Frame, axis: Axis, limit: float) -> None:
    """Draw what 99 % of the calls are to keep: their dots should lie left of it."""
    x, y = frame.x(axis, limit), frame.y(_risen(0.99))
    picture.line([(x, frame.bottom), (x, y)], INK, 1.5, "2 3")


def _curve(picture: Picture, frame: _Frame, axis: Axis, run: Run, style: _Style) -> None:
    def at(latency: float, share: float) -> tuple[float, float]:
        return frame.x(axis, latency), frame.y(_risen(share))

    dash = style.dash or ("5 3" if style.hollow else "")
    picture.line([at(*point) for point in _thinned(run.curve)], style.colour, 2, dash)
    for share, latency in run.percentiles.items():
        hint = f"{_series(run)}: p{share * 100:g} {latency:.4g} ms"
        picture.dot(*at(latency, share), style.colour, hint)


def _risen(share: float) -> float:
    """Return how high a share lies: each ten times fewer slower calls are equally higher."""
    return min(-math.log10(max(1 - share, 1e-9)), _TOP) / _TOP


def _thinned(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a curve with no more points than can be seen: all of the tail, part of the rest."""
    found: list[tuple[float, float]] = []
    for latency, share in curve:
        if not found or _risen(share) - _risen(found[-1][1]) >= 1 / _CURVE_POINTS:
            found.append((latency, share))
    return found if found[-1] == curve[-1] else [*found, curve[-1]]
