"""A process that runs one model, pinned to its cores: `python -m octavo.bench.worker`.

Nothing but the standard library is imported before the process is pinned and the thread counts are
set, because numpy and the frameworks read both once, when they are loaded. Commands come as lines
of JSON on standard input, answers go as lines of JSON to the original standard output; what a
framework prints goes to standard error. The process ends when its input or its parent does.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from octavo.bench.loop import time_calls
from octavo.bench.numa import bind_memory, memory_node
from octavo.errors import OctavoError, UsageError

if TYPE_CHECKING:
    from octavo.arrays import Batch
    from octavo.backends.base import Session

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "MXNET_CPU_WORKER_NTHREADS",
)
"""Environment variables by which numpy and the frameworks learn their number of threads."""

_PR_SET_PDEATHSIG = 1
_WARM_UP_CALLS = 3

Answer: TypeAlias = dict[str, Any]
Opener: TypeAlias = "Callable[[argparse.Namespace], tuple[Session, Batch]]"
"""Opens the model and reads the inputs that the command line names."""


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent `parent` ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def pin(cores: frozenset[int]) -> None:
    """Bind this process and every thread it will start to `cores`, one thread each.

    Where numpy is there already, the process starts itself anew: it is then pinned from its start.

    Raises:
        UsageError: the process may not use one of the cores.
    """
    variables = dict.fromkeys(THREAD_VARIABLES, str(len(cores)))
    pinned = os.sched_getaffinity(0) == cores and variables.items() <= os.environ.items()
    os.environ.update(variables)
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise UsageError(f"cannot run on cores {sorted(cores)}: {error.strerror}") from error
    ours = os.sched_getaffinity(0)
    if ours != cores:  # the kernel takes a set in part without an error
        raise UsageError(f"cannot run on cores {sorted(cores)}: only {sorted(ours)} are allowed")
    if "numpy" in sys.modules and not pinned:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def cores_of_threads() -> list[int]:
    """Return the cores that any thread of this process may run on."""
    cores: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            cores |= os.sched_getaffinity(int(task.name))
        except ProcessLookupError:
            continue  # it has just ended
    return sorted(cores)


def _warm_up(session: Session, batch: Batch, request: Mapping[str, Any]) -> Answer:
    first = time_calls(session.run, batch, iterations=_WARM_UP_CALLS).latencies
    rest = time_calls(session.run, batch, seconds=request["seconds"]).latencies
    calls = len(first) + len(rest)
    return {"latency": statistics.median(rest), "calls": calls, "cores": cores_of_threads()}


def _wait_until(moment: int) -> None:
    """Wait for a moment of the monotonic clock, at which all instances begin."""
    time.sleep(max(0, moment - time.perf_counter_ns()) / 1e9)


def _run(session: Session, batch: Batch, request: Mapping[str, Any]) -> Answer:
    _wait_until(request.get("begin", 0))
    if request.get("lead_in"):
        time_calls(session.run, batch, seconds=request["lead_in"])
    limits = {"seconds": request.get("seconds"), "iterations": request.get("iterations")}
    timing = time_calls(session.run, batch, **limits)
    return {"started": timing.started, "latencies": timing.latencies}


def peak_bytes() -> int:
    """Return the most memory this process has held, mapped files included.

    Not by getrusage: its peak survives exec, so it would show that of our parent.
    """
    status = Path("/proc/self/status").read_text()
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(peak.split()[1]) * 1024


def _usage(session: Session, batch: Batch, request: Mapping[str, Any]) -> Answer:
    return {"peak_bytes": peak_bytes(), "cpu_seconds": time.process_time()}


_COMMANDS: Mapping[str, Callable[[Session, Batch, Mapping[str, Any]], Answer]] = {
    "warmup": _warm_up,
    "run": _run,
    "usage": _usage,
}


def _open(arguments: argparse.Namespace) -> tuple[Session, Batch]:
    import numpy as np

    from octavo.backends.registry import get_backend
    from octavo.target import Target

    for module in arguments.imports:
        importlib.import_module(module)
    with np.load(arguments.inputs, allow_pickle=False) as file:
        batch = {name: file[name] for name in file.files}
    backend = get_backend(arguments.backend)
    model = backend.restore(arguments.folder, trust=arguments.trust)
    shapes = {name: array.shape for name, array in batch.items()}
    return backend.open(model, Target(threads=len(arguments.cores), shapes=shapes)), batch


def _take_commands() -> TextIO:
    """Take the pipes for ourselves: a framework gets an empty input, and prints to stderr."""
    commands = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands


def _serve(arguments: argparse.Namespace, answer: Callable[[Answer], None], opener: Opener) -> None:
    pin(arguments.cores)
    if arguments.node is not None:
        bind_memory(arguments.node)
    commands = _take_commands()
    session, batch = opener(arguments)
    answer({"pid": os.getpid(), "cores": cores_of_threads(), "node": memory_node()})
    for line in commands:
        request = json.loads(line)
        if request["command"] == "quit":
            return
        answer(_COMMANDS[request["command"]](session, batch, request))


def _arguments() -> argparse.Namespace:
    def cores(text: str) -> frozenset[int]:
        return frozenset(int(core) for core in text.split(","))

    parser = argparse.ArgumentParser(prog="python -m octavo.bench.worker", description=__doc__)
    parser.add_argument("--backend", required=True, help="the name of the model's backend")
    parser.add_argument("--folder", required=True, type=Path, help="what Backend.save wrote")
    parser.add_argument("--inputs", required=True, type=Path, help=".npz with the inputs by name")
    parser.add_argument("--cores", required=True, type=cores, help="for example 0,1")
    parser.add_argument("--node", type=int, help="the memory node to take memory from")
    parser.add_argument("--import", action="append", default=[], dest="imports", metavar="MODULE")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to die with")
    parser.add_argument("--trust", action="store_true", help="let the model run code of its own")
    return parser.parse_args()


def _describe(error: BaseException) -> Answer:
    message = " ".join(str(error).split())
    if not isinstance(error, OctavoError):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return {"error": {"type": type(error).__name__, "message": message}}


def main(opener: Opener = _open) -> int:
    """Serve until the input ends; return the exit status.

    Args:
        opener: opens the model; another than ours where Octavo's backends are not installed.
    """
    arguments = _arguments()
    die_with_parent(arguments.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    # Left open until the process is gone: the parent takes the end of this pipe for our end.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", closefd=False)

    def answer(content: Answer) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        _serve(arguments, answer, opener)
    except (Exception, SystemExit) as error:  # a framework may raise anything; the parent reports
        answer(_describe(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
