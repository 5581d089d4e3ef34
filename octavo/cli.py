"""The command line: runs a command, and turns every failure into one line and an exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from octavo.errors import ExitCode, OctavoError

UNEXPECTED = 1
"""The exit code of a mistake in Octavo itself."""

_FULL = (
    "the disk is full; free some space, or set TMPDIR, where temporary files go, to a folder "
    "with room"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what follows `octavo`; None takes them from the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments is None:
            signal.signal(signal.SIGTERM, _interrupt)
            if "--debug" not in given:
                sys.unraisablehook = _interrupt_again
        return _run(given)
    except OctavoError as error:
        return _fail(str(error), error.exit_code, given)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written was left", ExitCode.INTERRUPTED, given)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _fail(_unexpected(error, given), UNEXPECTED, given)
        return _fail(_FULL, ExitCode.BAD_INPUT, given)
    except Exception as error:
        return _fail(_unexpected(error, given), UNEXPECTED, given)


def _run(arguments: list[str]) -> int:
    from typer import Abort, BadParameter

    from octavo.commands.app import app

    # typer brings its own copy of click in some versions
    kinds = {kind.__name__: kind for kind in BadParameter.__mro__ if issubclass(kind, Exception)}
    wrong_usage: type[Exception] = kinds["ClickException"]
    try:
        code = int(app(args=arguments, prog_name="octavo", standalone_mode=False) or 0)
    except Abort:
        raise KeyboardInterrupt from None
    except wrong_usage as error:
        message = getattr(error, "format_message", error.__str__)()
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message)
            return ExitCode.BAD_INPUT
        sentence = _one_line(message).rstrip(".")
        raise OctavoError(f"{sentence}. Try 'octavo --help'.") from None
    if code == ExitCode.INTERRUPTED:  # what typer makes of Ctrl-C
        raise KeyboardInterrupt
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Repeat a Ctrl-C that Python dropped because a destructor ran at that moment.

    Python would print a traceback and go on; what else fails in a destructor is not the user's.
    """
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()


def _fail(message: str, code: int, arguments: Sequence[str]) -> int:
    text = _one_line(message)
    print(f"error: {text}", file=sys.stderr)
    if "--json" in arguments:
        print(json.dumps({"error": text, "exit_code": int(code)}))
    return int(code)


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _unexpected(error: Exception, arguments: Sequence[str]) -> str:
    if "--debug" in arguments:
        traceback.print_exception(error)
        return f"unexpected {type(error).__name__}: {error}"
    with tempfile.NamedTemporaryFile("w", prefix="octavo-", suffix=".log", delete=False) as file:
        traceback.print_exception(error, file=file)
    return (
        f"unexpected {type(error).__name__}: {error}; the traceback is in {str(Path(file.name))!r}"
    )


if __name__ == "__main__":
    sys.exit(main())
