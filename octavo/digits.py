"""Numbers as text, with as many digits as tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

DIGITS = 4
MOST = 9
"""Digits that are shown at most: floats of 32 bits have no more."""

T = TypeVar("T")


def tell_apart(values: Sequence[T], write: Callable[[T, int], str]) -> list[str]:
    """Return values as `write(value, digits)` gives them, with the same number of digits.

    It is `DIGITS`, and more only where values that differ would look equal.
    """
    for digits in range(DIGITS, MOST):
        texts = [write(value, digits) for value in values]
        if len(set(texts)) == len(set(values)):
            return texts
    return [write(value, MOST) for value in values]


def significant(value: float, digits: int) -> str:
    """Return a number with so many significant digits."""
    return f"{value:.{digits}g}"
