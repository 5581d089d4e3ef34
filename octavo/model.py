"""A handle on a model of any framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Dimension: TypeAlias = int | str | None
"""A size, the name of a free dimension, or None for an unnamed free one."""


@dataclass(frozen=True)
class TensorSpec:
    """The declared form of a model's input or output.

    Attributes:
        name: its name in the model.
        dtype: numpy's name of the element type, for example `float32`.
        shape: its dimensions; free ones are names or None.
    """

    name: str
    dtype: str
    shape: tuple[Dimension, ...]

    def concrete(self, free: int = 1) -> tuple[int, ...]:
        """Return the shape with every free dimension set to `free`."""
        return tuple(size if isinstance(size, int) else free for size in self.shape)

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype}[{sizes}]"


@dataclass(frozen=True)
class Model:
    """A loaded model; what `native` is, only its backend knows.

    Attributes:
        backend: the name of the backend that owns it.
        native: the backend's own object.
        inputs: what it reads.
        outputs: what it makes.
        source: the file or folder it came from, None for an object in memory.
        optimize: False asks the runtime to run the operators as written, without rewriting them.
        label: what reports call this form of the model; empty where there is nothing to say.
    """

    backend: str
    native: object = field(repr=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source: Path | None = None
    optimize: bool = True
    label: str = ""
