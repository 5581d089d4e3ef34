"""How much accuracy may be lost, and against which FP32 value that makes sense."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from octavo.errors import UsageError

NEAR_ZERO = 1e-6
_FORM = re.compile(
    r"\s*(?P<value>\d+\.?\d*(e-?\d+)?|\.\d+(e-?\d+)?)\s*(?P<unit>%|abs(olute)?|)\s*", re.IGNORECASE
)


@dataclass(frozen=True)
class Tolerance:
    """An accepted loss, never negative.

    Attributes:
        value: a fraction of the FP32 value when relative, else in the metric's own units.
        relative: whether it is a share of the FP32 value.
    """

    value: float
    relative: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise UsageError(f"a tolerance cannot be {self.value}; give '1%' or a number >= 0")

    @classmethod
    def parse(cls, given: object) -> Tolerance:
        """Read a tolerance.

        Args:
            given: a share of the FP32 value, as text such as `"1%"` or as a number below 1 such as
                0.01; or text such as `"0.5 absolute"` (or `"0.5abs"`) in the metric's own units.

        Raises:
            UsageError: it is neither.
        """
        if isinstance(given, Tolerance):
            return given
        found = _FORM.fullmatch(str(given))
        if found is None:
            raise UsageError(
                f"cannot read the tolerance {str(given)!r}; give a share of FP32 such as '1%', "
                "or '0.5 absolute' in the metric's own units"
            )
        value, unit = float(found["value"]), found["unit"]
        if unit.startswith("abs"):
            return cls(value, relative=False)
        if not unit and value >= 1:
            raise UsageError(
                f"a tolerance of {value:g} would be {value:.0%} of FP32; write '{value:g}%', "
                f"or '{value:g} absolute' in the metric's own units"
            )
        return cls(value / 100 if unit else value, relative=True)

    def slack(self, fp32: float, metric: str) -> float:
        """Return the loss that is accepted for an FP32 value, in the metric's units.

        Args:
            fp32: the metric's value of the FP32 model.
            metric: the metric's name, for the message.

        Raises:
            UsageError: the tolerance is relative and `fp32` is negative or near zero, so that a
                share of it means nothing.
        """
        if not self.relative:
            return self.value
        if fp32 < NEAR_ZERO:
            raise UsageError(
                f"{metric} of the FP32 model is {fp32:.4g}, so a tolerance of {self} of it means "
                "nothing; check the labels and the preprocessing, or give an absolute tolerance "
                "such as '0.01 absolute'"
            )
        return self.value * fp32

    def of(self, fp32: float) -> float:
        """Return the loss that is accepted for any FP32 value, 0 for a share of a negative one."""
        return self.value * max(fp32, 0.0) if self.relative else self.value

    def __str__(self) -> str:
        if not self.relative:
            return f"{self.value!r} absolute"
        percent = self.value * 100
        short = f"{percent:.10g}"
        return f"{short if float(short) / 100 == self.value else repr(percent)}%"
