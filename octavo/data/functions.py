"""Functions of the user's own, named as `module:function`."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from octavo.errors import UsageError, nearest

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def names_function(text: str) -> bool:
    """Return whether `text` has the form `module:function`."""
    return _FUNCTION.fullmatch(text) is not None


def import_function(name: str) -> Callable[..., Any]:
    """Import what `module:function` names; this runs the code of the module.

    The current folder is searched first, as `python -m` does.

    Raises:
        UsageError: there is no such module or function, or the module fails while it is imported.
    """
    module_name, _, attribute = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:  # stays: the function may import more when it is called
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"{name}: {module_name} needs another module: {error}") from error
        raise UsageError(
            f"{name}: there is no module {error.name!r} in {folder} or among the installed ones"
        ) from error
    except Exception as error:
        kind = type(error).__name__
        raise UsageError(f"{name}: importing {module_name} failed: {kind}: {error}") from error
    function: Callable[..., Any] | None = getattr(module, attribute, None)
    if not callable(function):
        hint = nearest(attribute, (key for key, value in vars(module).items() if callable(value)))
        what = "no function" if function is None else "something that is not a function at"
        raise UsageError(f"{name}: {module_name} has {what} {attribute!r}{hint}")
    return function
