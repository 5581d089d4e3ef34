"""What is decided: the number format of every group, and how ranges become scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

Compute: TypeAlias = Literal["fp32", "bf16", "int8", "int8_dynamic", "int8_weight", "int4_weight"]
"""How a group computes: `int8` is static, `int8_dynamic` finds activation ranges at run time,
the `_weight` forms store integers and compute in float."""

RangeMethod: TypeAlias = Literal["minmax", "percentile", "entropy", "mse"]

Correction: TypeAlias = Literal["equalize", "smooth", "round", "bias"]
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)
"""What a model can be changed by before it is built, in the order in which it is; see
`octavo.correct`."""


@dataclass(frozen=True)
class Scheme:
    """How one tensor is mapped to integers.

    Attributes:
        bits: number of bits in use; 7 means an 8-bit integer of reduced range.
        signed: integers are signed.
        symmetric: the zero point is zero (signed) and the range is symmetric around it.
        axis: the channel axis for one scale per channel, None for one scale per tensor.
        block: elements that share a scale along `axis`, None for all of them.
    """

    bits: int = 8
    signed: bool = False
    symmetric: bool = False
    axis: int | None = None
    block: int | None = None

    @property
    def qmin(self) -> int:
        """The smallest integer in use."""
        if not self.signed:
            return 0
        return -(1 << (self.bits - 1)) + int(self.symmetric)

    @property
    def qmax(self) -> int:
        """The largest integer in use."""
        return (1 << (self.bits - 1 if self.signed else self.bits)) - 1

    @property
    def per_tensor(self) -> Scheme:
        """The same scheme with one scale for the whole tensor."""
        return replace(self, axis=None, block=None)


U8 = Scheme(bits=8, signed=False, symmetric=False)
S8 = Scheme(bits=8, signed=True, symmetric=True)


@dataclass(frozen=True)
class Format:
    """The number format of one group.

    Attributes:
        compute: how the group computes.
        weight: the scheme of its constant weights, None where they stay float.
        inputs: a scheme per group input, in the order of `Group.inputs`; None stays float.
        outputs: a scheme per group output, in the order of `Group.outputs`; None stays float.
    """

    compute: Compute = "fp32"
    weight: Scheme | None = None
    inputs: tuple[Scheme | None, ...] = ()
    outputs: tuple[Scheme | None, ...] = ()

    @property
    def is_float(self) -> bool:
        """Whether nothing of the group is quantized."""
        return self.compute in ("fp32", "bf16")

    @property
    def name(self) -> str:
        """What reports and plots call it, such as `int8 per channel`; outputs do not matter."""
        if self.is_float or self.weight is None:
            return self.compute
        return f"{self.compute} per {'channel' if self.weight.axis is not None else 'tensor'}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Format:
        """Read what `to_json` wrote."""

        def scheme(value: Mapping[str, Any] | None) -> Scheme | None:
            return None if value is None else Scheme(**value)

        return cls(
            compute=data["compute"],
            weight=scheme(data["weight"]),
            inputs=tuple(scheme(value) for value in data["inputs"]),
            outputs=tuple(scheme(value) for value in data["outputs"]),
        )


FP32 = Format()


@dataclass(frozen=True)
class Recipe:
    """How the model is corrected before it is built, and how statistics become ranges.

    Attributes:
        ranges: the range method for activations.
        percentile: the share of values kept, in percent, for the percentile method.
        corrections: what is done to the float model beforehand.
    """

    ranges: RangeMethod = "minmax"
    percentile: float = 99.999
    corrections: tuple[Correction, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form; `from_json` reads it back."""
        return asdict(self) | {"corrections": list(self.corrections)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        """Read what `to_json` wrote."""
        return cls(**{**data, "corrections": tuple(data.get("corrections", ()))})


@dataclass(frozen=True)
class Plan:
    """A format for every group; groups that are not named stay FP32.

    Attributes:
        formats: format by group id.
        recipe: how the ranges for it are made.
    """

    formats: Mapping[str, Format] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)

    def format(self, group: str) -> Format:
        """Return the format of the group with id `group`."""
        return self.formats.get(group, FP32)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form; `from_json` reads it back."""
        formats = {group: value.to_json() for group, value in self.formats.items()}
        return {"formats": formats, "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Read what `to_json` wrote."""
        formats = {group: Format.from_json(value) for group, value in data["formats"].items()}
        return cls(formats=formats, recipe=Recipe.from_json(data["recipe"]))


@dataclass(frozen=True)
class Range:
    """The interval of real values that the integers of a tensor have to cover."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        """Return the smallest range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))
