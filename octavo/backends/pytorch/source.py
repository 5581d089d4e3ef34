"""A module with the inputs that it is captured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Source:
    """A module together with example inputs, since a module alone does not tell what it reads.

    The values of the example do not matter, its shapes and dtypes do. Axis 0 of every tensor is
    the sample axis and becomes free where the module allows it.

    Attributes:
        module: what to quantize; it is captured in evaluation mode.
        args: positional inputs, tensors or nested containers of them.
        kwargs: inputs by name.
        dynamic_shapes: free dimensions as `torch.export.export` takes them; None frees axis 0.
    """

    module: torch.nn.Module = field(repr=False)
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    dynamic_shapes: Any = None
