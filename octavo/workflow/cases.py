"""What one benchmark measures: every layout of instances, batch size and shape with all others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from octavo.bench.cores import Topology
from octavo.bench.places import Layout, layouts, most_instances, places
from octavo.errors import UsageError
from octavo.fields import parse_duration, parse_sizes

AUTO = "auto"
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""Sizes by input name, the sample axis included."""

_MILLISECONDS = re.compile(r"(\d+\.?\d*|\.\d+)\s*ms")


@dataclass(frozen=True)
class Grid:
    """What is to be measured.

    Attributes:
        instances: processes that run at the same time; None for as many as fit.
        threads: threads and cores of each; None for what an artifact was made for, else 1.
        sweep: all layouts of all cores in place of these two.
        batch_sizes: samples of one call, where the model's batch is free.
        shapes: of random inputs; at least one.
    """

    instances: int | None = 1
    threads: int | None = None
    sweep: bool = False
    batch_sizes: tuple[int, ...] = (1,)
    shapes: tuple[Shapes, ...] = field(default=({},))

    def layouts(self, topology: Topology, made_for: int) -> tuple[Layout, ...]:
        """Return the layouts, checked to fit the machine.

        Args:
            topology: the cores that may be used.
            made_for: threads where none are given.

        Raises:
            UsageError: there are not enough cores.
        """
        if self.sweep:
            return layouts(topology)
        threads = self.threads or made_for
        if self.instances is None:
            return (most_instances(topology, threads),)
        wanted = Layout(self.instances, threads)
        places(topology, wanted)
        return (wanted,)


@dataclass(frozen=True)
class Case:
    """One of the things that are measured.

    Attributes:
        layout: the instances.
        batch_size: samples of one call.
        shapes: of the inputs that were swept or given, the sample axis as in the call.
    """

    layout: Layout
    batch_size: int
    shapes: Shapes

    def __str__(self) -> str:
        return ", ".join([f"instances {self.layout}", f"batch {self.batch_size}", *self._sizes()])

    def _sizes(self) -> list[str]:
        return [f"{name} {'x'.join(map(str, shape))}" for name, shape in self.shapes.items()]


def make_grid(
    *,
    instances: int | str = 1,
    threads: int | None = None,
    sweep: bool = False,
    batch_size: int | str | Sequence[int] = 1,
    shapes: Mapping[str, object] | None = None,
) -> Grid:
    """Read what the user asks for.

    Args:
        instances: a number, or `auto`.
        threads: of each.
        sweep: whether all layouts are tried.
        batch_size: one, several, or text such as `1,8,32`.
        shapes: by input name one shape, or several that are measured one after the other; those of
            several inputs go together in their order.

    Raises:
        UsageError: one of them means nothing, or two exclude each other.
    """
    if sweep and (threads is not None or _instances(instances) != 1):
        raise UsageError(
            "a sweep tries all layouts of instances; leave out --instances and "
            "--cores-per-instance, or --sweep"
        )
    return Grid(
        instances=_instances(instances),
        threads=threads,
        sweep=sweep,
        batch_sizes=_batch_sizes(batch_size),
        shapes=_shapes(shapes or {}),
    )


def latency_limit(given: float | str | None) -> float | None:
    """Return a limit in milliseconds from a number of them, or text such as `20ms` or `1.5s`.

    Raises:
        UsageError: it is neither, or no time at all.
    """
    if given is None:
        return None
    text = f"{given:f}" if isinstance(given, int | float) else given.strip().lower()
    found = _MILLISECONDS.fullmatch(text if "s" in text else f"{text}ms")
    try:
        milliseconds = float(found[1]) if found else 1000 * float(str(parse_duration(text)))
    except UsageError:
        milliseconds = 0.0
    if milliseconds <= 0:
        raise UsageError(
            f"a latency is milliseconds, or text such as 20ms or 1.5s, above 0; not {given!r}"
        )
    return milliseconds


def _instances(given: int | str) -> int | None:
    text = str(given).strip().lower()
    if text == AUTO:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"instances are a number of at least 1, or {AUTO}; not {given!r}")
    return int(text)


def _batch_sizes(given: int | str | Sequence[int]) -> tuple[int, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    texts = [str(part).strip() for part in (parts if isinstance(parts, Sequence) else [parts])]
    if not texts or not all(text.isdecimal() and int(text) >= 1 for text in texts):
        raise UsageError(
            f"a batch size is a number of at least 1, several are 1,8,32; not {given!r}"
        )
    return tuple(dict.fromkeys(map(int, texts)))


def _shapes(given: Mapping[str, object]) -> tuple[Shapes, ...]:
    by_input = {name: _shapes_of(name, shape) for name, shape in given.items()}
    counts = {name: len(found) for name, found in by_input.items() if len(found) > 1}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise UsageError(
            f"shapes of several inputs go together in their order, and {told}; give each as many, "
            "or one"
        )
    most = max(counts.values(), default=1)
    columns = {name: found * most if len(found) == 1 else found for name, found in by_input.items()}
    return tuple({name: found[index] for name, found in columns.items()} for index in range(most))


def _shapes_of(name: str, given: object) -> tuple[tuple[int, ...], ...]:
    several = isinstance(given, list | tuple) and not all(isinstance(one, int) for one in given)
    shapes = given if isinstance(given, list | tuple) and several else [given]
    found = [shape for shape in map(parse_sizes, shapes) if shape]
    if len(found) < len(shapes):
        raise UsageError(
            f"the shape of {name!r} is sizes of at least 1, such as 1x3x224x224; not {given!r}"
        )
    return tuple(found)


def cases(chosen: Sequence[Layout], sizes: Sequence[int], shapes: Sequence[Shapes]) -> list[Case]:
    """Return every layout with every batch size and every shape."""
    return [
        Case(layout, size, {name: (size, *shape[1:]) for name, shape in given.items()})
        for given, size, layout in itertools.product(shapes, sizes, chosen)
    ]
