"""Errors that tell the user what happened, what was expected and what to do.

Every error a user can cause is an `OctavoError`; the command line prints it on one line, without a
traceback, and ends with its `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """The documented exit codes of the `octavo` command."""

    DONE = 0
    BAD_INPUT = 2
    TOLERANCE_NOT_REACHED = 3
    NOT_FASTER = 4
    INTERRUPTED = 130


class OctavoError(Exception):
    """A failure the user can act on.

    Attributes:
        exit_code: the exit code of the command line for this error.
    """

    exit_code = ExitCode.BAD_INPUT


class UsageError(OctavoError):
    """An option, a pattern or a combination of them that cannot be used."""


class ModelError(OctavoError):
    """A model that cannot be read, or that lacks what was asked of it."""


class DataError(OctavoError):
    """Calibration or evaluation data that cannot be used."""


class NonFiniteError(DataError):
    """A tensor held NaN or infinity.

    Attributes:
        tensor: the name of the tensor.
        count: how many of its values were not finite.
    """

    def __init__(self, tensor: str, count: int) -> None:
        super().__init__(f"tensor {tensor!r} holds {count} values that are NaN or infinite")
        self.tensor = tensor
        self.count = count


class UnequalSizesError(DataError):
    """Outputs of two models that are to be compared have different shapes."""


class ArtifactError(OctavoError):
    """An artifact folder that cannot be read or written."""


class MissingFrameworkError(OctavoError):
    """A framework is needed that is not installed; the message holds the lines to install it."""


class TrustError(OctavoError):
    """A file could run code of its own and `trust=True` was not given."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the valid name nearest to `name`, or an empty string."""
    by_lower = {one.lower(): one for one in valid}
    matches = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return f"; did you mean {by_lower[matches[0]]!r}?" if matches else ""
